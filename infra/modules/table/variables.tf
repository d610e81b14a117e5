variable "name" {
  description = "Name of the table."
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

variable "deletion_protection" {
  description = "Whether the table refuses to be deleted."
  type        = bool
}

variable "kms_key" {
  description = "Customer managed KMS key that encrypts the table; null for the key aws/dynamodb."
  type = object({
    arn = string
  })
  default = null
}
