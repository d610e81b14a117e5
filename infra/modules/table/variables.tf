variable "name" {
  description = "Name of the table."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[A-Za-z0-9_.-]{3,255}$", var.name))
    error_message = "name must be 3 to 255 letters, digits, hyphens, underscores and dots: DynamoDB's rule."
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

variable "deletion_protection" {
  description = "Whether the table refuses to be deleted."
  type        = bool
  nullable    = false
}

variable "kms_key" {
  description = "Customer managed KMS key that encrypts the table; null for the key aws/dynamodb."
  type = object({
    arn = string
  })
  default = null
}

variable "ttl_attribute" {
  description = "Attribute with the time (Unix seconds) after which DynamoDB deletes an item; null to keep items forever."
  type        = string
  default     = null
}
