variable "name" {
  description = "Name of the job, of its role and of its security configuration."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[A-Za-z0-9_-]{1,64}$", var.name))
    error_message = "name must be 1 to 64 letters, digits, hyphens and underscores: IAM takes no longer role name."
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

variable "package_file" {
  description = "Path of the job's package, a zip of wheels, which `make package` builds."
  type        = string
  nullable    = false

  validation {
    condition     = endswith(var.package_file, ".gluewheels.zip")
    error_message = "package_file must end with .gluewheels.zip: AWS Glue knows a zip of wheels by this ending."
  }
}

variable "bucket_name" {
  description = "Name of the bucket with the files and the job's code."
  type        = string
  nullable    = false
}

variable "bucket_arn" {
  description = "ARN of the same bucket."
  type        = string
  nullable    = false
}

variable "code_prefix" {
  description = "Key prefix of the job's code in the bucket, with a slash at its end."
  type        = string
  default     = "code/"
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z-]*/$", var.code_prefix))
    error_message = "code_prefix must be lower-case letters and hyphens with a slash at the end: the job's role may read what is under it."
  }
}

variable "table_name" {
  description = "Name of the table with the ledger."
  type        = string
  nullable    = false
}

variable "table_arn" {
  description = "ARN of the same table."
  type        = string
  nullable    = false
}

variable "workers" {
  description = "Number of workers, the driver included."
  type        = number
  nullable    = false
}

variable "worker_type" {
  description = "Type of the workers, as AWS Glue names it."
  type        = string
  nullable    = false
}

variable "timeout_minutes" {
  description = "Minutes after which AWS Glue stops a run of the job."
  type        = number
  nullable    = false
}

variable "max_concurrent_runs" {
  description = "Runs of the job at the same time."
  type        = number
  nullable    = false
}

variable "log_retention_days" {
  description = "Days for which the job's logs are kept."
  type        = number
  nullable    = false
}

variable "further_policies" {
  description = "Further IAM policy documents (JSON) by name, such as the one for an encryption key."
  type        = map(string)
  default     = {}
  nullable    = false
}

variable "kms_key" {
  description = "Customer managed KMS key that encrypts what the job writes and logs; null for the keys of AWS."
  type = object({
    arn = string
  })
  default = null
}
