variable "name" {
  description = "Name of the role and of the user."
  type        = string
}

variable "partition" {
  description = "Partition of the partner's account, such as aws."
  type        = string
}

variable "account_id" {
  description = "Id of the account whose principals may assume the role; null for no role."
  type        = string
  default     = null
}

variable "external_id" {
  description = "External id that the partner must send to assume the role, so that nobody can make the partner's systems do it for them (confused deputy)."
  type        = string
  default     = null
}

variable "user" {
  description = "Whether there is an IAM user as well, for a partner without an AWS account."
  type        = bool
  default     = false
}

variable "policies" {
  description = "IAM policy documents (JSON) of what the partner may do, by name."
  type        = map(string)
}
