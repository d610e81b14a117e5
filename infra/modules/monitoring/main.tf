# The topic that alarms are sent to, and the dashboard. The alarms are listed in alarms.tf.

locals {
  arn_prefix = "arn:${var.scope.partition}:cloudwatch:${var.scope.region}:${var.scope.account_id}:alarm:${var.name}"
  topic_arn  = "arn:${var.scope.partition}:sns:${var.scope.region}:${var.scope.account_id}:${local.topic_name}"
  topic_name = "${var.name}-alarms"

  policies = [
    templatefile("${path.module}/topic_policy.json.tftpl", {
      topic_arn  = local.topic_arn
      alarm_arn  = "${local.arn_prefix}-*"
      account_id = var.scope.account_id
    }),
    var.require_tls ? templatefile("${path.module}/tls_policy.json.tftpl", { topic_arn = local.topic_arn }) : null,
  ]
}

resource "aws_sns_topic" "this" {
  name              = local.topic_name
  kms_master_key_id = one(var.kms_key[*].arn)
}

resource "aws_sns_topic_policy" "this" {
  arn = aws_sns_topic.this.arn
  policy = jsonencode({
    Version   = "2012-10-17"
    Statement = flatten([for policy in local.policies : jsondecode(policy).Statement if policy != null])
  })
}

resource "aws_sns_topic_subscription" "email" {
  for_each = toset(var.emails)

  topic_arn = aws_sns_topic.this.arn
  protocol  = "email"
  endpoint  = each.value
}

resource "aws_cloudwatch_metric_alarm" "this" {
  for_each = local.alarms

  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = "${each.value.description} (docs/runbook.md, Alarms, ${try(each.value.row, each.key)})"
  namespace           = each.value.namespace
  metric_name         = each.value.metric
  dimensions          = each.value.dimensions
  statistic           = each.value.statistic
  comparison_operator = each.value.comparison
  threshold           = each.value.threshold
  period              = each.value.period
  evaluation_periods  = each.value.periods
  datapoints_to_alarm = each.value.periods
  treat_missing_data  = each.value.missing
  alarm_actions       = [aws_sns_topic.this.arn]
  ok_actions          = each.value.clears ? [aws_sns_topic.this.arn] : []
}

# Far more refused records than usual: most likely the partner has changed the format.
resource "aws_cloudwatch_metric_alarm" "refused_share" {
  alarm_name          = "${var.name}-refused-share"
  alarm_description   = "More than ${var.refused_share_percent} % of a batch's records were refused. See which and why: make errors ${local.env} BATCH=... (docs/runbook.md, Alarms, refused-share)"
  comparison_operator = "GreaterThanThreshold"
  threshold           = var.refused_share_percent
  evaluation_periods  = 1
  datapoints_to_alarm = 1
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.this.arn]

  metric_query {
    id          = "share"
    label       = "Refused records in percent"
    expression  = "IF(read > 0, 100 * refused / read, 0)"
    return_data = true
  }

  dynamic "metric_query" {
    for_each = { read = "RecordsRead", refused = "RecordsRefused" }

    content {
      id = metric_query.key

      metric {
        namespace   = var.name
        metric_name = metric_query.value
        dimensions  = { service = "transform" }
        stat        = "Sum"
        period      = 300
      }
    }
  }
}

resource "aws_cloudwatch_dashboard" "this" {
  dashboard_name = var.name
  dashboard_body = templatefile("${path.module}/dashboard.json.tftpl", local.dashboard)
}

locals {
  # US dollars for a gigabyte-second and a call of Lambda, a state transition, a read and a write unit of DynamoDB, a request
  # of SQS: list prices for eu-west-1 and arm64, of which those of other regions differ little. An estimate needs no more.
  prices = {
    gb_second        = 0.0000133334
    function_call    = 0.0000002
    state_transition = 0.000025
    read_unit        = 0.0000001415
    write_unit       = 0.000000705
    queue_request    = 0.0000005
  }

  dashboard = merge(
    {
      name                = var.name
      region              = var.scope.region
      namespace           = var.name
      alarm_arn_prefix    = local.arn_prefix
      state_machine_arn   = var.state_machine_arn
      table_name          = var.table_name
      ingest_queue        = var.queues.ingest
      output_queue        = var.queues.output
      ingest_dead_letter  = var.dead_letter_queues.ingest
      output_dead_letter  = var.dead_letter_queues.output
      publish_dead_letter = var.dead_letter_queues.publish
    },
    { for part, function in var.functions : part => function.name },
    { for part, function in var.functions : "${part}_memory_mb" => function.memory_mb },
    { for part, function in var.functions : "${part}_timeout_ms" => function.timeout_seconds * 1000 },
    { for what, price in local.prices : "${what}_price" => format("%.12f", price) },
  )
}
