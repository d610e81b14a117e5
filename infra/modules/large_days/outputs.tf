output "job_name" {
  description = "Name of the job."
  value       = aws_glue_job.this.name
}

output "job_arn" {
  description = "ARN of the job, built from its name: known at plan time and without a dependency on the job."
  value       = local.arn
}

output "log_group_names" {
  description = "Names of the job's log groups: error has the messages of Spark and Glue, output what the code logs."
  value       = { for name, group in aws_cloudwatch_log_group.this : name => group.name }
}
