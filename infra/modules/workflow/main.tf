# The state machine that runs one batch from its files to its closed ledger entry, with its role and its log group.

locals {
  # Built from names and not from resources, so that they are known at plan time and make no cycle: the policies of the
  # machine's role and of the functions that it calls name the machine.
  arn_prefix    = "arn:${var.scope.partition}:states:${var.scope.region}:${var.scope.account_id}"
  arn           = "${local.arn_prefix}:stateMachine:${var.name}"
  execution_arn = "${local.arn_prefix}:execution:${var.name}"

  # A task's timeout is a little longer than its function's, so that the error is the function's own timeout.
  task_timeout_seconds = { for name, seconds in var.timeout_seconds : name => seconds + 30 }

  values = {
    partition           = var.scope.partition
    retry               = file("${path.module}/retry.json") # the same rules for each task
    bucket_name         = var.bucket_name
    transform_arn       = var.function_arns.transform
    deliver_arn         = var.function_arns.deliver
    finalize_arn        = var.function_arns.finalize
    transform_timeout   = local.task_timeout_seconds.transform
    deliver_timeout     = local.task_timeout_seconds.deliver
    finalize_timeout    = local.task_timeout_seconds.finalize
    deliver_concurrency = var.deliver_concurrency
    batch_timeout       = var.batch_timeout_hours * 3600
  }
  definition = templatefile("${path.module}/state_machine.json.tftpl", local.values)

  # With large days, Transform and the choice after it have one more rule each, and further states. Without them these
  # states are absent, as Step Functions refuses states that nothing leads to.
  definition_with_large_days = one([
    for job in var.large_days[*] : jsonencode(merge(jsondecode(local.definition), {
      States = merge(jsondecode(local.definition).States, local.large_day[0].States, {
        Transform = merge(jsondecode(local.definition).States.Transform, {
          Catch = concat(local.large_day[0].Catch, jsondecode(local.definition).States.Transform.Catch)
        })
        Transformed = merge(jsondecode(local.definition).States.Transformed, {
          Choices = concat(local.large_day[0].Choices, jsondecode(local.definition).States.Transformed.Choices)
        })
      })
    }))
  ])
  large_day = [
    for job in var.large_days[*] : jsondecode(templatefile("${path.module}/large_day.json.tftpl", merge(local.values, {
      job_name = job.job_name
      # Longer than the job's own timeout, as a run may wait for its workers before its time counts.
      job_timeout = job.timeout_minutes * 60 + 1800
    })))
  ]
}

resource "aws_iam_role" "this" {
  name        = var.name
  description = "Role of the state machine ${var.name}"
  assume_role_policy = templatefile("${path.module}/trust.json.tftpl", {
    state_machine_arn = local.arn
    account_id        = var.scope.account_id
  })
}

resource "aws_iam_role_policy" "this" {
  name = "work"
  role = aws_iam_role.this.name
  policy = templatefile("${path.module}/policy.json.tftpl", {
    transform_arn     = var.function_arns.transform
    deliver_arn       = var.function_arns.deliver
    finalize_arn      = var.function_arns.finalize
    bucket_arn        = var.bucket_arn
    state_machine_arn = local.arn
    execution_arn     = local.execution_arn
  })
}

resource "aws_iam_role_policy" "further" {
  for_each = var.further_policies

  name   = each.key
  role   = aws_iam_role.this.name
  policy = each.value
}

resource "aws_iam_role_policy" "large_days" {
  count = var.large_days == null ? 0 : 1

  name   = "large-days"
  role   = aws_iam_role.this.name
  policy = templatefile("${path.module}/large_day_policy.json.tftpl", { job_arn = var.large_days.job_arn })
}

resource "aws_cloudwatch_log_group" "this" {
  # CloudWatch Logs resource policies have a size limit; log groups with this prefix share one statement.
  name              = "/aws/vendedlogs/states/${var.name}"
  retention_in_days = var.log_retention_days
  kms_key_id        = one(var.kms_key[*].arn)
}

resource "aws_sfn_state_machine" "this" {
  name     = var.name
  type     = "STANDARD"
  role_arn = aws_iam_role.this.arn

  definition = coalesce(local.definition_with_large_days, local.definition)

  logging_configuration {
    level                  = "ERROR"
    include_execution_data = true # keys and counts only: records never pass through the machine
    log_destination        = "${aws_cloudwatch_log_group.this.arn}:*"
  }

  tracing_configuration {
    enabled = true
  }

  # Creating a machine that logs already needs the role's permissions.
  depends_on = [aws_iam_role_policy.this, aws_iam_role_policy.further, aws_iam_role_policy.large_days]
}
