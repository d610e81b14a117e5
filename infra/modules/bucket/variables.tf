variable "name" {
  description = "Name of the bucket, unique among all buckets of AWS."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$", var.name))
    error_message = "name must be 3 to 63 lower-case letters, digits and hyphens: S3's rule, without dots, which break TLS."
  }
}

variable "scope" {
  description = "Partition, region and account id, from which this module builds ARNs."
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
  description = "ARN of the queue that gets a notification for every new object under incoming/. Its policy must already allow the bucket to send."
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
  description = "Days after which the parts of an incomplete multipart upload are deleted."
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
  description = "Name of the bucket for access logs, which get this bucket's name as prefix; null for no logs."
  type        = string
  default     = null
}
