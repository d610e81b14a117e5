variable "name" {
  description = "Name of the dashboard and of the functions' own metrics' namespace; the first part of the names of topic and alarms."
  type        = string
}

variable "environment" {
  description = "Name of the environment, which the commands in the alarms' texts take."
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

variable "require_tls" {
  description = "Whether the topic refuses requests without TLS."
  type        = bool
  default     = true
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
}

variable "functions" {
  description = "The five functions by part: name, timeout in seconds and memory in MB."
  type = map(object({
    name            = string
    timeout_seconds = number
    memory_mb       = number
  }))
}

variable "queues" {
  description = "Names of the ingest and the output queue."
  type = object({
    ingest = string
    output = string
  })
}

variable "oldest_message_seconds" {
  description = "Seconds after which a message that still waits in one of these queues raises an alarm."
  type = object({
    ingest = number
    output = number
  })
}

variable "dead_letter_queues" {
  description = "Names of the dead-letter queues of the ingest queue, the output queue and publish."
  type = object({
    ingest  = string
    output  = string
    publish = string
  })
}

variable "table_name" {
  description = "Name of the table."
  type        = string
}

variable "state_machine_arn" {
  description = "ARN of the state machine."
  type        = string
}

variable "rules" {
  description = "EventBridge rules by the last part of their name, each with the part of the function that it calls."
  type        = map(string)
}

variable "expected_batches_per_hour" {
  description = "How many batches may start within an hour before an alarm tells."
  type        = number
}

variable "completed_batch_within_hours" {
  description = "An alarm is raised if no batch was completed within this number of hours, 1 to 168; null for no such alarm."
  type        = number
}

variable "refused_share_percent" {
  description = "Refused records of a batch, in percent, above which there is an alarm."
  type        = number
}
