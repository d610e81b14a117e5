output "name" {
  description = "Name of the function."
  value       = aws_lambda_function.this.function_name
}

output "arn" {
  description = "ARN of the function, built from its name, so it is known at plan time. Resources that use it depend on the function."
  value       = local.arn
  depends_on  = [aws_lambda_function.this]
}

output "log_group_name" {
  description = "Name of the function's log group."
  value       = aws_cloudwatch_log_group.this.name
}
