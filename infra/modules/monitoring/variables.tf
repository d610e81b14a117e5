variable "name" {
  description = "Name of the dashboard, and the first part of the names of topic and alarms."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[A-Za-z0-9_-]{1,200}$", var.name))
    error_message = "name must be 1 to 200 letters, digits, hyphens and underscores: the rule for dashboards, and alarms end with a word of their own."
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

variable "require_tls" {
  description = "Whether the topic refuses requests without TLS."
  type        = bool
  default     = true
  nullable    = false
}

variable "kms_key" {
  description = "Customer managed KMS key that encrypts the topic; null for none, as CloudWatch can't use the AWS managed key."
  type = object({
    arn = string
  })
  default = null
}

variable "emails" {
  description = "Addresses that get the alarms, each after confirming a message from AWS."
  type        = list(string)
  default     = []
  nullable    = false
}

variable "namespace" {
  description = "CloudWatch namespace of the functions' own metrics."
  type        = string
  nullable    = false
}

variable "functions" {
  description = "The five functions by part: name, timeout in seconds and memory in MB."
  type = map(object({
    name            = string
    timeout_seconds = number
    memory_mb       = number
  }))
  nullable = false

  validation {
    condition     = toset(keys(var.functions)) == toset(["intake", "transform", "deliver", "finalize", "publish"])
    error_message = "functions must name intake, transform, deliver, finalize and publish: the dashboard has a place for each of them."
  }
}

variable "queues" {
  description = "Names of the ingest and the output queue."
  type = object({
    ingest = string
    output = string
  })
  nullable = false
}

variable "oldest_message_seconds" {
  description = "Seconds after which a message that still waits in one of these queues raises an alarm."
  type = object({
    ingest = number
    output = number
  })
  nullable = false
}

variable "dead_letter_queues" {
  description = "Names of the dead-letter queues of the ingest queue, the output queue and publish."
  type = object({
    ingest  = string
    output  = string
    publish = string
  })
  nullable = false
}

variable "table_name" {
  description = "Name of the table."
  type        = string
  nullable    = false
}

variable "state_machine_arn" {
  description = "ARN of the state machine."
  type        = string
  nullable    = false
}

variable "rules" {
  description = "EventBridge rules by the last part of their name, each with the part of the function that it calls."
  type        = map(string)
  nullable    = false
}

variable "completed_batch_within_hours" {
  description = "An alarm is raised if no batch was completed within this number of hours, 1 to 168; null for no such alarm."
  type        = number

  validation {
    condition     = var.completed_batch_within_hours == null ? true : var.completed_batch_within_hours >= 1 && var.completed_batch_within_hours <= 168
    error_message = "completed_batch_within_hours must be from 1 to 168: CloudWatch alarms look back seven days at most."
  }
}

variable "refused_share_percent" {
  description = "Refused records of a batch, in percent, above which there is an alarm."
  type        = number
  nullable    = false
}

variable "prices" {
  description = "Prices in US dollars for the dashboard's cost estimates: a gigabyte-second and a call of Lambda, a state transition, a read and a write unit of DynamoDB, a request of SQS."
  type = object({
    gb_second        = number
    function_call    = number
    state_transition = number
    read_unit        = number
    write_unit       = number
    queue_request    = number
  })
  nullable = false
}
