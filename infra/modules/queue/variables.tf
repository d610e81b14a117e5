variable "name" {
  description = "Name of the queue, without the .fifo that a FIFO queue's name ends with."
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
  description = "Whether the queue and its dead-letter queue refuse requests without TLS."
  type        = bool
  default     = true
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
}

variable "visibility_timeout_seconds" {
  description = "Seconds for which a received message is hidden from others, 0 to 43200. Before a Lambda function: six times its timeout."
  type        = number
  default     = 30
}

variable "message_retention_seconds" {
  description = "Seconds for which an unread message is kept, 60 to 1209600. Messages in the dead-letter queue are always kept for 14 days."
  type        = number
  default     = 1209600
}

variable "max_receive_count" {
  description = "Receives after which a message goes to the dead-letter queue, 1 to 1000; null for a queue without one, such as one that is a dead-letter queue itself."
  type        = number
  default     = null
}

variable "sending_bucket_arn" {
  description = "ARN of the bucket whose notifications the queue takes; null for a queue that only roles send to."
  type        = string
  default     = null
}
