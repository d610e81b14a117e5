# An EventBridge rule that invokes one function: on a schedule, or for events of the account.

locals {
  # From the name rather than from the rule: known while planning, so that a plan shows who may invoke the function.
  rule_arn = "arn:${var.scope.partition}:events:${var.scope.region}:${var.scope.account_id}:rule/${var.name}"
}

resource "aws_cloudwatch_event_rule" "this" {
  name                = var.name
  description         = var.description
  schedule_expression = var.schedule
  event_pattern       = var.event_pattern

  lifecycle {
    precondition {
      condition     = (var.schedule == null) != (var.event_pattern == null)
      error_message = "A trigger needs either a schedule or an event_pattern: a rule with both would fire for each of them."
    }
  }
}

resource "aws_cloudwatch_event_target" "this" {
  rule      = aws_cloudwatch_event_rule.this.name
  target_id = "function"
  arn       = var.function_arn

  # The permission must exist before the first event arrives.
  depends_on = [aws_lambda_permission.this]
}

resource "aws_lambda_permission" "this" {
  statement_id  = var.name
  action        = "lambda:InvokeFunction"
  function_name = var.function_arn
  principal     = "events.amazonaws.com"
  # The rule's ARN names the account. No source_account beside it: EventBridge sends none, so that
  # condition would never be met.
  source_arn = local.rule_arn
}
