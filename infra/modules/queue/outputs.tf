output "arn" {
  description = "ARN of the queue, built from its name, so it is known at plan time. Resources that use it depend on the queue and its policy."
  value       = local.arn
  depends_on  = [aws_sqs_queue.this, aws_sqs_queue_policy.this]
}

output "name" {
  description = "Name of the queue."
  value       = aws_sqs_queue.this.name
}

output "dead_letter_queue_name" {
  description = "Name of the dead-letter queue; null where there is none."
  value       = one(aws_sqs_queue.dead_letter[*].name)
}

output "url" {
  description = "URL of the queue."
  value       = aws_sqs_queue.this.id
}

output "dead_letter_queue_url" {
  description = "URL of the dead-letter queue; null where there is none."
  value       = one(aws_sqs_queue.dead_letter[*].id)
}
