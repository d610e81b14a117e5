output "name" {
  description = "Name of the bucket."
  value       = aws_s3_bucket.this.bucket
}

output "arn" {
  description = "ARN of the bucket, built from its name: known at plan time and without a dependency on the bucket."
  value       = local.arn
}
