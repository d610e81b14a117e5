variable "name" {
  description = "Name of the role and of the user."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[A-Za-z0-9+=,.@_-]{1,64}$", var.name))
    error_message = "name must be 1 to 64 letters, digits and +=,.@_-: IAM's rule."
  }
}

variable "partition" {
  description = "Partition of the partner's account, such as aws."
  type        = string
  nullable    = false
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

  validation {
    condition     = var.account_id == null || var.external_id != null
    error_message = "external_id must be given with account_id: without it, anyone who can act through the partner's account could assume the role (the confused deputy problem)."
  }
}

variable "user" {
  description = "Whether there is an IAM user as well, for a partner without an AWS account."
  type        = bool
  default     = false
  nullable    = false
}

variable "policy" {
  description = "IAM policy document (JSON) of what the partner may do."
  type        = string
  nullable    = false
}

variable "further_policies" {
  description = "Further IAM policy documents (JSON) by name, such as the one for an encryption key."
  type        = map(string)
  default     = {}
  nullable    = false
}
