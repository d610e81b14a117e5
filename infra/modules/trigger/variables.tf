variable "name" {
  description = "Name of the rule."
  type        = string
}

variable "description" {
  description = "What the rule is for, in a sentence of at most 512 characters."
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
}
