variable "name" {
  description = "Name of the job, of its role and of its security configuration."
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
  description = "Path of the job's package, a zip of wheels, which `make package` builds."
  type        = string
}

variable "bucket_name" {
  description = "Name of the bucket with the files and the job's code."
  type        = string
}

variable "bucket_arn" {
  description = "ARN of the same bucket."
  type        = string
}

variable "table_name" {
  description = "Name of the table with the ledger."
  type        = string
}

variable "table_arn" {
  description = "ARN of the same table."
  type        = string
}

variable "workers" {
  description = "Number of workers, the driver included."
  type        = number
}

variable "worker_type" {
  description = "Type of the workers, as AWS Glue names it."
  type        = string
}

variable "timeout_minutes" {
  description = "Minutes after which AWS Glue stops a run of the job."
  type        = number
}

variable "max_concurrent_runs" {
  description = "Runs of the job at the same time."
  type        = number
}

variable "log_retention_days" {
  description = "Days for which the job's logs are kept."
  type        = number
}

variable "further_policies" {
  description = "Further IAM policy documents (JSON) by name, such as the one for an encryption key."
  type        = map(string)
  default     = {}
}

variable "kms_key" {
  description = "Customer managed KMS key that encrypts what the job writes and logs; null for the keys of AWS."
  type = object({
    arn = string
  })
  default = null
}
