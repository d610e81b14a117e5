variable "name" {
  description = "First part of the names of functions, state machine and alarms; also the key's alias."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[A-Za-z0-9/_-]{1,200}$", var.name)) && !startswith(var.name, "aws/")
    error_message = "name must be 1 to 200 letters, digits, hyphens, underscores and slashes, and not start with aws/: KMS's rule for aliases."
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

variable "bucket_arn" {
  description = "ARN of the bucket whose notifications go to a queue that the key encrypts."
  type        = string
  nullable    = false
}
