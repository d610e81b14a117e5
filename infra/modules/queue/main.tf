# A queue and, if max_receive_count is set, its dead-letter queue.
# Encrypted, over TLS only; the dead-letter queue accepts messages from this queue only.

locals {
  suffix           = var.fifo ? ".fifo" : ""
  name             = "${var.name}${local.suffix}"
  dead_letter_name = "${var.name}-dead-letter${local.suffix}"

  # Built from names and not from resources, so that they are known at plan time and the plan shows every policy in full.
  arn_prefix      = "arn:${var.scope.partition}:sqs:${var.scope.region}:${var.scope.account_id}"
  arn             = "${local.arn_prefix}:${local.name}"
  dead_letter_arn = "${local.arn_prefix}:${local.dead_letter_name}"

  # Roles of this account get access from their own policies; a bucket needs a statement in the queue's policy.
  sender_policy = var.sending_bucket_arn == null ? null : templatefile("${path.module}/sender_policy.json.tftpl", {
    queue_arn  = local.arn
    bucket_arn = var.sending_bucket_arn
    account_id = var.scope.account_id
  })
  tls_policy = var.require_tls ? templatefile("${path.module}/tls_policy.json.tftpl", { queue_arn = local.arn }) : null
  statements = flatten([for policy in [local.sender_policy, local.tls_policy] : jsondecode(policy).Statement if policy != null])

  has_dead_letter = var.max_receive_count != null
  fourteen_days   = 1209600 # seconds, the maximum of SQS
}

resource "aws_sqs_queue" "this" {
  name                        = local.name
  fifo_queue                  = var.fifo
  content_based_deduplication = var.fifo ? false : null # senders set the ids: equal bodies may be different changes
  deduplication_scope         = var.fifo ? "messageGroup" : null
  fifo_throughput_limit       = var.fifo ? "perMessageGroupId" : null
  visibility_timeout_seconds  = var.visibility_timeout_seconds
  message_retention_seconds   = var.message_retention_seconds
  receive_wait_time_seconds   = 20 # long polling, as empty answers cost money too
  sqs_managed_sse_enabled     = var.kms_key == null ? true : null
  kms_master_key_id           = one(var.kms_key[*].arn)

  redrive_policy = local.has_dead_letter ? jsonencode({
    deadLetterTargetArn = local.dead_letter_arn
    maxReceiveCount     = var.max_receive_count
  }) : null

  # SQS refuses a redrive policy whose target does not exist yet.
  depends_on = [aws_sqs_queue.dead_letter]
}

resource "aws_sqs_queue" "dead_letter" {
  count = local.has_dead_letter ? 1 : 0

  name                        = local.dead_letter_name
  fifo_queue                  = var.fifo
  content_based_deduplication = var.fifo ? false : null
  deduplication_scope         = var.fifo ? "messageGroup" : null
  fifo_throughput_limit       = var.fifo ? "perMessageGroupId" : null
  message_retention_seconds   = local.fourteen_days
  receive_wait_time_seconds   = 20
  sqs_managed_sse_enabled     = var.kms_key == null ? true : null
  kms_master_key_id           = one(var.kms_key[*].arn)
}

resource "aws_sqs_queue_redrive_allow_policy" "dead_letter" {
  count = local.has_dead_letter ? 1 : 0

  queue_url = aws_sqs_queue.dead_letter[0].id
  redrive_allow_policy = jsonencode({
    redrivePermission = "byQueue"
    sourceQueueArns   = [aws_sqs_queue.this.arn]
  })
}

resource "aws_sqs_queue_policy" "this" {
  count = length(local.statements) > 0 ? 1 : 0

  queue_url = aws_sqs_queue.this.id
  policy    = jsonencode({ Version = "2012-10-17", Statement = local.statements })
}

resource "aws_sqs_queue_policy" "dead_letter" {
  count = local.has_dead_letter && var.require_tls ? 1 : 0

  queue_url = aws_sqs_queue.dead_letter[0].id
  policy    = templatefile("${path.module}/tls_policy.json.tftpl", { queue_arn = local.dead_letter_arn })
}
