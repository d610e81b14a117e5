output "role_arn" {
  description = "ARN of the role that the partner's account assumes; null where there is none."
  value       = one(aws_iam_role.this[*].arn)
}

output "user_name" {
  description = "Name of the partner's IAM user; null where there is none."
  value       = one(aws_iam_user.this[*].name)
}
