variable "name" {
  description = "First part of the names of functions, state machine and alarms; also the key's alias."
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

variable "bucket_arn" {
  description = "ARN of the bucket whose notifications go to a queue that the key encrypts."
  type        = string
}
