variable "name" {
  description = "Name of the function and of its role."
  type        = string
}

variable "description" {
  description = "What the function does, in a sentence of at most 256 characters."
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

variable "package_file" {
  description = "Path of the zip with the function's code."
  type        = string
}

variable "handler" {
  description = "Handler in the package, as module.function."
  type        = string
}

variable "reserved_concurrency" {
  description = "How many calls may run at once, which is reserved in the account; -1 for no limit."
  type        = number
  default     = -1
  nullable    = false
}

variable "memory_mb" {
  description = "Memory in MB."
  type        = number
}

variable "timeout_seconds" {
  description = "Timeout of a call in seconds."
  type        = number
}

variable "storage_mb" {
  description = "Size of /tmp in MB."
  type        = number
  default     = 512
}

variable "log_retention_days" {
  description = "Days for which the function's log is kept."
  type        = number
}

variable "environment" {
  description = "Environment variables of the function."
  type        = map(string)
}

variable "policy" {
  description = "IAM policy document (JSON) with the permissions that the function's work needs, in addition to its log and traces."
  type        = string
}

variable "further_policies" {
  description = "Further IAM policy documents (JSON) by name, such as the one for an encryption key."
  type        = map(string)
  default     = {}
}

variable "kms_key" {
  description = "Customer managed KMS key that encrypts the function's log and environment variables; null for the keys of CloudWatch and Lambda."
  type = object({
    arn = string
  })
  default = null
}

variable "network" {
  description = "Subnets and security groups of a private network for the function; null for none."
  type = object({
    subnet_ids         = list(string)
    security_group_ids = list(string)
  })
  default = null
}

variable "event_source" {
  description = "Queue or stream whose messages Lambda passes to the function; null if the function is called directly. The arguments from starting_position on are for streams only."
  type = object({
    arn                                = string
    batch_size                         = number
    maximum_batching_window_in_seconds = optional(number)
    partial_batch_responses            = optional(bool, false)
    starting_position                  = optional(string)
    parallelization_factor             = optional(number)
    bisect_batch_on_error              = optional(bool)
    maximum_retry_attempts             = optional(number)
    maximum_record_age_in_seconds      = optional(number)
    on_failure_arn                     = optional(string)
  })
  default = null
}
