output "plan_role_arn" {
  description = "ARN of the role that plans on a pull request, for the repository's variable AWS_PLAN_ROLE_ARN."
  value       = aws_iam_role.plan.arn
}

output "deploy_role_arns" {
  description = "ARN of the role that applies, by environment, for each GitHub environment's variable AWS_DEPLOY_ROLE_ARN."
  value       = { for name, role in aws_iam_role.deploy : name => role.arn }
}
