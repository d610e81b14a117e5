variable "name" {
  description = "Name of the rule."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[A-Za-z0-9._-]{1,64}$", var.name))
    error_message = "name must be 1 to 64 letters, digits, dots, hyphens and underscores: EventBridge's rule."
  }
}

variable "description" {
  description = "What the rule is for, in a sentence of at most 512 characters."
  type        = string
  nullable    = false

  validation {
    condition     = length(var.description) <= 512
    error_message = "description must have at most 512 characters: EventBridge's limit."
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

variable "schedule" {
  description = "When the function is called, as a cron or rate expression in UTC; null for a rule that waits for events."
  type        = string
  default     = null
}

variable "event_pattern" {
  description = "Which events the function is called for, as a pattern (JSON); null for a rule with a schedule."
  type        = string
  default     = null
}

variable "function_arn" {
  description = "ARN of the function that is called."
  type        = string
  nullable    = false
}
