variable "name" {
  description = "First part of the names of the network, its subnets, endpoints and security groups."
  type        = string
}

variable "region" {
  description = "Region of the network, such as eu-west-1."
  type        = string
}

variable "cidr" {
  description = "Addresses of the network, such as 10.20.0.0/20."
  type        = string
}

variable "zones" {
  description = "Availability zones with a subnet each, by their letter."
  type        = list(string)
}

variable "bucket_arn" {
  description = "ARN of the bucket, the only one that can be reached."
  type        = string
}

variable "table_arn" {
  description = "ARN of the table, the only one that can be reached."
  type        = string
}

variable "queue_arns" {
  description = "ARNs of the queues that can be sent to: the output queue and publish's dead-letter queue."
  type = object({
    output      = string
    dead_letter = string
  })
}

variable "state_machine_arn" {
  description = "ARN of the state machine, the only one that can be started."
  type        = string
}

variable "execution_arn" {
  description = "ARN of the machine's executions without the last part, which is :<execution's name>."
  type        = string
}

variable "map_run_arn" {
  description = "ARN of the runs of the machine's map without the last part, which is :<map run's id>."
  type        = string
}
