# A Lambda function with its role, its log group and, if a queue or a stream is its source, the event source mapping.

locals {
  # Built from names and not from resources, so that they are known at plan time and the plan shows every policy in full.
  arn            = "arn:${var.scope.partition}:lambda:${var.scope.region}:${var.scope.account_id}:function:${var.name}"
  log_group_name = "/aws/lambda/${var.name}"
  log_group_arn  = "arn:${var.scope.partition}:logs:${var.scope.region}:${var.scope.account_id}:log-group:${local.log_group_name}"
}

resource "aws_iam_role" "this" {
  name               = var.name
  description        = "Role of the function ${var.name}"
  assume_role_policy = file("${path.module}/trust.json")
}

resource "aws_iam_role_policy" "telemetry" {
  name   = "telemetry"
  role   = aws_iam_role.this.name
  policy = templatefile("${path.module}/telemetry.json.tftpl", { log_group_arn = local.log_group_arn })
}

resource "aws_iam_role_policy" "work" {
  name   = "work"
  role   = aws_iam_role.this.name
  policy = var.policy
}

resource "aws_iam_role_policy" "further" {
  for_each = var.further_policies

  name   = each.key
  role   = aws_iam_role.this.name
  policy = each.value
}

resource "aws_cloudwatch_log_group" "this" {
  name              = local.log_group_name
  retention_in_days = var.log_retention_days
  kms_key_id        = one(var.kms_key[*].arn)
}

resource "aws_lambda_function" "this" {
  #checkov:skip=CKV_AWS_115:only transform has a limit, since a reserve is taken from the account; the map and the mappings limit the others
  #checkov:skip=CKV_AWS_116:the queue, the stream and the state machine that call it set aside what fails; EventBridge's rules have alarms
  #checkov:skip=CKV_AWS_272:the package is built from this repository by the person who deploys, who would have to keep a signing profile
  function_name    = var.name
  description      = var.description
  role             = aws_iam_role.this.arn
  filename         = var.package_file
  source_code_hash = fileexists(var.package_file) ? filebase64sha256(var.package_file) : null
  handler          = var.handler
  runtime          = "python3.13" # the package holds compiled wheels for exactly this Python
  architectures    = ["arm64"]    # and this processor, a fifth cheaper than x86_64
  memory_size      = var.memory_mb
  timeout          = var.timeout_seconds

  reserved_concurrent_executions = var.reserved_concurrency

  kms_key_arn = one(var.kms_key[*].arn)

  ephemeral_storage {
    size = var.storage_mb
  }

  environment {
    variables = var.environment
  }

  dynamic "vpc_config" {
    for_each = var.network[*]

    content {
      subnet_ids         = vpc_config.value.subnet_ids
      security_group_ids = vpc_config.value.security_group_ids
    }
  }

  tracing_config {
    mode = "Active"
  }

  lifecycle {
    # A plan in a clean checkout must work without a package, but an apply must not. The role's id is unknown until the role
    # exists, so Terraform checks this at apply time in a first deployment, and at plan time in later ones.
    precondition {
      condition     = fileexists(var.package_file) || aws_iam_role.this.unique_id == ""
      error_message = "There is no package ${var.package_file}: build it with `make package` for this environment, then plan again."
    }
  }

  # Without the log group, Lambda would create one that keeps logs forever; without the permissions, early calls would fail.
  depends_on = [
    aws_cloudwatch_log_group.this,
    aws_iam_role_policy.telemetry,
    aws_iam_role_policy.work,
    aws_iam_role_policy.further,
  ]
}

resource "aws_lambda_event_source_mapping" "this" {
  count = var.event_source == null ? 0 : 1

  event_source_arn                   = var.event_source.arn
  function_name                      = aws_lambda_function.this.function_name
  batch_size                         = var.event_source.batch_size
  maximum_batching_window_in_seconds = var.event_source.maximum_batching_window_in_seconds
  starting_position                  = var.event_source.starting_position
  parallelization_factor             = var.event_source.parallelization_factor
  bisect_batch_on_function_error     = var.event_source.bisect_batch_on_error
  maximum_retry_attempts             = var.event_source.maximum_retry_attempts
  maximum_record_age_in_seconds      = var.event_source.maximum_record_age_in_seconds
  function_response_types            = var.event_source.partial_batch_responses ? ["ReportBatchItemFailures"] : null

  dynamic "destination_config" {
    for_each = var.event_source.on_failure_arn == null ? [] : [var.event_source.on_failure_arn]

    content {
      on_failure {
        destination_arn = destination_config.value
      }
    }
  }
}
