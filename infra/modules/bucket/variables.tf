variable "name" {
  description = "Name of the bucket, unique among all buckets of AWS."
  type        = string
}

variable "scope" {
  description = "Partition, region and account id, from which this module builds ARNs."
  type = object({
    partition  = string
    region     = string
    account_id = string
  })
}

variable "require_tls" {
  description = "Whether the bucket refuses requests without TLS."
  type        = bool
  default     = true
}

variable "queue_arn" {
  description = "ARN of the queue that gets a notification for every new object under incoming/. Its policy must already allow the bucket to send."
  type        = string
}

variable "deletion_protection" {
  description = "Whether the bucket refuses to be destroyed while it holds objects."
  type        = bool
}

variable "incoming_retention_days" {
  description = "Days for which objects under incoming/ are kept; null for ever."
  type        = number
}

variable "feedback_retention_days" {
  description = "Days for which objects under feedback/ are kept; S3 deletes them for good within the next three."
  type        = number
}

variable "old_version_retention_days" {
  description = "Days for which an overwritten or deleted object can still be read."
  type        = number
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
