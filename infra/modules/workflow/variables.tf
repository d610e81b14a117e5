variable "name" {
  description = "Name of the state machine and of its role."
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

variable "bucket_name" {
  description = "Name of the bucket with the manifests of the chunk files."
  type        = string
}

variable "bucket_arn" {
  description = "ARN of the same bucket."
  type        = string
}

variable "function_arns" {
  description = "ARNs of the functions that the machine calls."
  type = object({
    transform = string
    deliver   = string
    finalize  = string
  })
}

variable "timeout_seconds" {
  description = "Timeouts of the same functions in seconds; a task waits 30 seconds longer."
  type = object({
    transform = number
    deliver   = number
    finalize  = number
  })
}

variable "deliver_concurrency" {
  description = "Chunk files delivered at the same time."
  type        = number
}

variable "batch_timeout_hours" {
  description = "Hours after which a run is stopped."
  type        = number
}

variable "large_days" {
  description = "Job on AWS Glue for days that do not fit into the function: its name, its ARN and its timeout in minutes. Null for no such job."
  type = object({
    job_name        = string
    job_arn         = string
    timeout_minutes = number
  })
  default = null
}

variable "log_retention_days" {
  description = "Days for which the machine's log is kept."
  type        = number
}

variable "further_policies" {
  description = "Further IAM policy documents (JSON) by name, such as the one for an encryption key."
  type        = map(string)
  default     = {}
}

variable "kms_key" {
  description = "Customer managed KMS key that encrypts the machine's log; null for CloudWatch's own."
  type = object({
    arn = string
  })
  default = null
}
