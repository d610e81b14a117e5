# The root module only connects the modules: bucket -> ingest queue -> intake -> workflow -> table -> stream -> publish -> output queue.

data "aws_caller_identity" "current" {}

data "aws_partition" "current" {}

module "key" {
  source = "./modules/key"
  count  = var.kms_key == "create" ? 1 : 0

  name       = local.prefix
  scope      = local.scope
  bucket_arn = module.bucket.arn
}

module "bucket" {
  source = "./modules/bucket"

  name                       = local.bucket_name
  scope                      = local.scope
  require_tls                = !local.on_emulator
  kms_key                    = local.kms_key
  queue_arn                  = module.ingest_queue.arn
  deletion_protection        = var.deletion_protection
  incoming_retention_days    = var.incoming_retention_days
  feedback_retention_days    = var.feedback_retention_days
  old_version_retention_days = var.old_version_retention_days
  access_log_bucket          = var.access_log_bucket
}

module "ingest_queue" {
  source = "./modules/queue"

  name                       = "${local.prefix}-ingest"
  scope                      = local.scope
  require_tls                = !local.on_emulator
  kms_key                    = local.kms_key
  visibility_timeout_seconds = local.ingest_visibility_timeout_seconds
  message_retention_seconds  = 345600 # 4 days; its dead-letter queue keeps messages for 14, counted from their first arrival
  max_receive_count          = local.max_receive_count
  sending_bucket_arn         = module.bucket.arn
}

module "output_queue" {
  source = "./modules/queue"

  name                       = "${local.prefix}-output"
  scope                      = local.scope
  require_tls                = !local.on_emulator
  kms_key                    = local.kms_key
  fifo                       = true
  visibility_timeout_seconds = var.output_visibility_timeout_seconds
  max_receive_count          = local.max_receive_count
}

module "publish_dead_letter_queue" {
  source = "./modules/queue"

  name        = "${local.prefix}-publish-dead-letter"
  scope       = local.scope
  require_tls = !local.on_emulator
  kms_key     = local.kms_key
}

module "table" {
  source = "./modules/table"

  name                = local.prefix
  scope               = local.scope
  deletion_protection = var.deletion_protection
  kms_key             = local.kms_key
}

module "network" {
  source = "./modules/network"
  count  = var.vpc == null ? 0 : 1

  name              = local.prefix
  region            = var.region
  cidr              = var.vpc.cidr
  zones             = var.vpc.zones
  bucket_arn        = module.bucket.arn
  table_arn         = module.table.arn
  queue_arns        = { output = module.output_queue.arn, dead_letter = module.publish_dead_letter_queue.arn }
  state_machine_arn = module.workflow.state_machine_arn
  execution_arn     = module.workflow.execution_arn
  map_run_arn       = module.workflow.map_run_arn
}

module "function" {
  source   = "./modules/function"
  for_each = local.functions

  name         = "${local.prefix}-${each.key}"
  description  = each.value.description
  scope        = local.scope
  package_file = local.package_file
  handler      = "pipeline.handlers.${each.key}.handler"
  memory_mb    = local.memory_mb[each.key]

  reserved_concurrency = each.key == "transform" && var.transform.concurrency > 0 ? var.transform.concurrency : -1
  timeout_seconds      = local.timeout_seconds[each.key]
  storage_mb           = each.value.storage_mb
  log_retention_days   = var.log_retention_days
  policy               = templatefile("${path.module}/policies/${each.key}.json.tftpl", local.policy_values)
  further_policies     = merge(local.key_policies[each.key], local.network_policies[each.key], local.large_day_policies[each.key])
  network              = local.network
  kms_key              = local.kms_key
  event_source         = each.value.event_source

  environment = merge(each.value.environment, {
    POWERTOOLS_SERVICE_NAME      = each.key
    POWERTOOLS_METRICS_NAMESPACE = local.prefix
    POWERTOOLS_LOG_LEVEL         = "INFO" # to see one function's details, set DEBUG at the function itself until the next deployment
  })
}

module "workflow" {
  source = "./modules/workflow"

  name                = "${local.prefix}-batch"
  scope               = local.scope
  bucket_name         = local.bucket_name
  bucket_arn          = module.bucket.arn
  function_arns       = { for name in ["transform", "deliver", "finalize"] : name => module.function[name].arn }
  timeout_seconds     = { for name in ["transform", "deliver", "finalize"] : name => local.timeout_seconds[name] }
  deliver_concurrency = var.deliver_concurrency
  batch_timeout_hours = local.batch_timeout_hours
  log_retention_days  = var.log_retention_days
  further_policies    = local.key_policies.workflow
  kms_key             = local.kms_key
  large_days = var.large_days == null ? null : {
    job_name        = one(module.large_days[*].job_name)
    job_arn         = one(module.large_days[*].job_arn)
    timeout_minutes = var.large_days.timeout_minutes
  }
}

module "large_days" {
  source = "./modules/large_days"
  count  = var.large_days == null ? 0 : 1

  name                = "${local.prefix}-large-day"
  scope               = local.scope
  package_file        = "${dirname(local.package_file)}/pipeline.gluewheels.zip"
  bucket_name         = module.bucket.name
  bucket_arn          = module.bucket.arn
  table_name          = module.table.name
  table_arn           = module.table.arn
  workers             = var.large_days.workers
  worker_type         = var.large_days.worker_type
  timeout_minutes     = var.large_days.timeout_minutes
  max_concurrent_runs = var.large_days.max_concurrent_runs
  log_retention_days  = var.log_retention_days
  further_policies    = local.key_policies.large_days
  kms_key             = local.kms_key
}

module "trigger" {
  source   = "./modules/trigger"
  for_each = local.triggers

  name          = "${local.prefix}-${each.key}"
  description   = each.value.description
  scope         = local.scope
  schedule      = each.value.schedule
  event_pattern = each.value.event_pattern
  function_arn  = module.function[each.value.function].arn
}

module "monitoring" {
  source = "./modules/monitoring"

  name        = local.prefix
  environment = var.environment
  scope       = local.scope
  require_tls = !local.on_emulator
  kms_key     = local.kms_key
  emails      = var.alarm_emails
  functions = {
    for part, function in module.function :
    part => { name = function.name, timeout_seconds = local.timeout_seconds[part], memory_mb = local.memory_mb[part] }
  }
  queues = {
    ingest = module.ingest_queue.name
    output = module.output_queue.name
  }
  oldest_message_seconds = {
    # By then it has failed once. Not longer: the metric leaves out messages that were received three times.
    ingest = 1.5 * local.ingest_visibility_timeout_seconds
    output = 6 * 3600 # a consumer that runs twice a day; SQS deletes a message after 14 days
  }
  dead_letter_queues = {
    ingest  = module.ingest_queue.dead_letter_queue_name
    output  = module.output_queue.dead_letter_queue_name
    publish = module.publish_dead_letter_queue.name
  }
  table_name                   = module.table.name
  state_machine_arn            = module.workflow.state_machine_arn
  rules                        = { for name, trigger in local.triggers : name => trigger.function }
  completed_batch_within_hours = var.completed_batch_within_hours
  expected_batches_per_hour    = var.expected_batches_per_hour
  refused_share_percent        = var.max_refused_percent / 4 # a warning, long before the batch is held
}

module "partner" {
  source = "./modules/partner"

  name        = "${local.prefix}-partner"
  partition   = local.scope.partition
  account_id  = var.partner.account_id
  external_id = var.partner.external_id
  user        = var.partner.user
  policies = merge(local.key_policies.partner, { upload = templatefile("${path.module}/policies/partner.json.tftpl", local.policy_values) }, var.partner.feedback ? {
    feedback = templatefile("${path.module}/policies/partner_feedback.json.tftpl", local.policy_values)
  } : {})
}
