output "state_machine_arn" {
  description = "ARN of the state machine, built from its name: known at plan time and without a dependency on the machine."
  value       = local.arn
}

output "execution_arn" {
  description = "ARN of the machine's executions without the last part, which is :<execution's name>."
  value       = local.execution_arn
}

output "map_run_arn" {
  description = "ARN of the runs of the machine's map without the last part, which is :<map run's id>."
  value       = "${local.arn_prefix}:mapRun:${var.name}/deliver"
}

output "log_group_name" {
  description = "Name of the machine's log group."
  value       = aws_cloudwatch_log_group.this.name
}
