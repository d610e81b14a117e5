output "region" {
  description = "Region of everything below."
  value       = var.region
}

output "bucket_name" {
  description = "Bucket whose incoming/ prefix takes the partner's files."
  value       = module.bucket.name
}

output "table_name" {
  description = "Table of results, errors and the ledger."
  value       = module.table.name
}

output "ingest_queue_url" {
  description = "Queue between the bucket's notifications and intake."
  value       = module.ingest_queue.url
}

output "ingest_dead_letter_queue_url" {
  description = "Queue of the notifications that intake could not process."
  value       = module.ingest_queue.dead_letter_queue_url
}

output "output_queue_url" {
  description = "FIFO queue of all messages, the product's output."
  value       = module.output_queue.url
}

output "output_dead_letter_queue_url" {
  description = "FIFO queue of the messages that the consumers could not process."
  value       = module.output_queue.dead_letter_queue_url
}

output "publish_dead_letter_queue_url" {
  description = "Queue that names the stream records that publish could not send."
  value       = module.publish_dead_letter_queue.url
}

output "state_machine_arn" {
  description = "ARN of the state machine that runs a batch."
  value       = module.workflow.state_machine_arn
}

output "function_names" {
  description = "Name of each function, by its part: intake, transform, deliver, finalize, publish."
  value       = { for part, function in module.function : part => function.name }
}

output "log_group_names" {
  description = "Name of each log group, by part: the five functions, workflow and, with large_days, large_day."
  value = merge(
    { for part, function in module.function : part => function.log_group_name },
    { workflow = module.workflow.log_group_name },
    { for groups in module.large_days[*].log_group_names : "large_day" => groups.output },
  )
}

output "large_day_job_name" {
  description = "Name of the job for large days; null where there is none."
  value       = one(module.large_days[*].job_name)
}

output "alarm_topic_arn" {
  description = "ARN of the topic that alarms are sent to."
  value       = module.monitoring.topic_arn
}

output "dashboard_name" {
  description = "Name of the CloudWatch dashboard."
  value       = module.monitoring.dashboard_name
}

output "partner_role_arn" {
  description = "ARN of the role that the partner's account assumes to store files; null where there is none."
  value       = module.partner.role_arn
}

output "partner_user_name" {
  description = "Name of the partner's IAM user, whose access key a person makes; null where there is none."
  value       = module.partner.user_name
}
