output "name" {
  description = "Name of the bucket."
  value       = aws_s3_bucket.this.bucket
}

output "arn" {
  description = "ARN of the bucket, from its name: known while planning and without a dependency on the bucket."
  value       = local.arn
}
