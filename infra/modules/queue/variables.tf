variable "name" {
  description = "Name of the queue, without the .fifo that a FIFO queue's name ends with."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[A-Za-z0-9_-]{1,75}$", var.name)) && (var.max_receive_count == null || length(var.name) <= 63)
    error_message = "name must be 1 to 75 letters, digits, hyphens and underscores, and at most 63 with a dead-letter queue: SQS takes 80 characters, and -dead-letter.fifo comes behind it."
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
  description = "Whether the queue and its dead-letter queue refuse requests without TLS."
  type        = bool
  default     = true
  nullable    = false
}

variable "kms_key" {
  description = "Customer managed KMS key that encrypts the queue and its dead-letter queue; null for the key of SQS."
  type = object({
    arn = string
  })
  default = null
}

variable "fifo" {
  description = "Whether the queue keeps the order of each message group and drops duplicates for 5 minutes (with high throughput per group)."
  type        = bool
  default     = false
  nullable    = false
}

variable "visibility_timeout_seconds" {
  description = "Seconds for which a received message is hidden from others, 0 to 43200. Before a Lambda function: six times its timeout."
  type        = number
  default     = 30
  nullable    = false

  validation {
    condition     = var.visibility_timeout_seconds >= 0 && var.visibility_timeout_seconds <= 43200
    error_message = "visibility_timeout_seconds must be from 0 to 43200: SQS hides a message for at most 12 hours."
  }
}

variable "message_retention_seconds" {
  description = "Seconds for which an unread message is kept, 60 to 1209600. Messages in the dead-letter queue are always kept for 14 days."
  type        = number
  default     = 1209600
  nullable    = false

  validation {
    condition     = var.message_retention_seconds >= 60 && var.message_retention_seconds <= 1209600
    error_message = "message_retention_seconds must be from 60 to 1209600: SQS keeps a message for at most 14 days."
  }
}

variable "max_receive_count" {
  description = "Receives after which a message goes to the dead-letter queue, 1 to 1000; null for a queue without one, such as one that is a dead-letter queue itself."
  type        = number
  default     = null

  validation {
    condition     = var.max_receive_count == null ? true : var.max_receive_count >= 1 && var.max_receive_count <= 1000
    error_message = "max_receive_count must be from 1 to 1000, the range of SQS, or null."
  }
}

variable "sending_bucket_arn" {
  description = "ARN of the bucket whose notifications the queue takes; null for a queue that only roles send to."
  type        = string
  default     = null
}
