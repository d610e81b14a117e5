variable "name" {
  description = "Name of the bucket, unique in the world."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$", var.name))
    error_message = "name must be 3 to 63 lower-case letters, digits and hyphens: S3's rule, without dots, which break TLS."
  }
}

variable "scope" {
  description = "Partition, region and account in which the ARNs lie that this module writes down from names."
  type = object({
    partition  = string
    region     = string
    account_id = string
  })
  nullable = false
}

variable "require_tls" {
  description = "Whether the bucket refuses requests without TLS."
  type        = bool
  default     = true
  nullable    = false
}

variable "queue_arn" {
  description = "ARN of the queue that gets a notification for every new object under incoming/. Its policy must already let the bucket send."
  type        = string
  nullable    = false
}

variable "deletion_protection" {
  description = "Whether the bucket refuses to be destroyed while it holds objects."
  type        = bool
  nullable    = false
}

variable "work_retention_days" {
  description = "Days for which objects under work/ are kept."
  type        = number
  nullable    = false
}

variable "feedback_retention_days" {
  description = "Days for which objects under feedback/ are kept; S3 deletes them for good one day later."
  type        = number
  nullable    = false
}

variable "old_version_retention_days" {
  description = "Days for which an overwritten or deleted object can still be read."
  type        = number
  nullable    = false
}

variable "aborted_upload_retention_days" {
  description = "Days after which the parts of a multipart upload that never ended are deleted."
  type        = number
  nullable    = false
}

variable "kms_key" {
  description = "Customer managed KMS key that encrypts the objects; null for the key of S3."
  type = object({
    arn = string
  })
  default = null
}

variable "access_log_bucket" {
  description = "Name of the bucket that takes the log of every access, under the prefix of this bucket's name; null for no log."
  type        = string
  default     = null
}
