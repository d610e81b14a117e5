# The customer managed key for files, messages, items, logs and alarms. It can be used through their services only and is
# rotated once a year.

locals {
  # Built from names and not from resources, as the key is created before the resources that it encrypts.
  account_arn = "arn:${var.scope.partition}:iam::${var.scope.account_id}:root"
  log_arn     = "arn:${var.scope.partition}:logs:${var.scope.region}:${var.scope.account_id}:log-group"
  alarm_arn   = "arn:${var.scope.partition}:cloudwatch:${var.scope.region}:${var.scope.account_id}:alarm"
}

resource "aws_kms_key" "this" {
  description             = "Data of ${var.name}"
  enable_key_rotation     = true
  deletion_window_in_days = 30 # the maximum, as without the key its data is lost

  policy = templatefile("${path.module}/key_policy.json.tftpl", {
    account_arn  = local.account_arn
    account_id   = var.scope.account_id
    region       = var.scope.region
    bucket_arn   = var.bucket_arn
    alarm_arn    = "${local.alarm_arn}:${var.name}-*"
    function_log = "${local.log_arn}:/aws/lambda/${var.name}-*"
    workflow_log = "${local.log_arn}:/aws/vendedlogs/states/${var.name}-*"
    job_log      = "${local.log_arn}:/aws-glue/jobs/${var.name}-*"
  })
}

resource "aws_kms_alias" "this" {
  name          = "alias/${var.name}"
  target_key_id = aws_kms_key.this.key_id
}
