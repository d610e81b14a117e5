output "name" {
  description = "Name of the table."
  value       = aws_dynamodb_table.this.name
}

output "arn" {
  description = "ARN of the table, built from its name, so it is known at plan time."
  value       = "arn:${var.scope.partition}:dynamodb:${var.scope.region}:${var.scope.account_id}:table/${aws_dynamodb_table.this.name}"
}

output "stream_arn" {
  description = "ARN of the table's stream, which is known only after DynamoDB has created the table."
  value       = aws_dynamodb_table.this.stream_arn
}
