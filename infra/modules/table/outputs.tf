output "name" {
  description = "Name of the table."
  value       = aws_dynamodb_table.this.name
}

output "arn" {
  description = "ARN of the table, from its name: known while planning."
  value       = "arn:${var.scope.partition}:dynamodb:${var.scope.region}:${var.scope.account_id}:table/${aws_dynamodb_table.this.name}"
}

output "stream_arn" {
  description = "ARN of the table's stream, which DynamoDB makes up when it creates the table."
  value       = aws_dynamodb_table.this.stream_arn
}
