# An EventBridge rule that invokes one function: on a schedule, or for events of the account.

locals {
  # Built from the name and not from the rule, so that it is known at plan time and the plan shows who may call the function.
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
  # The rule's ARN contains the account. A source_account would never match, as EventBridge sends none.
  source_arn = local.rule_arn
}
