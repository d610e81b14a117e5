# One alarm for each kind of failure. `clears` says whether the topic also gets a message when the alarm returns to OK: for a
# queue that is empty again, but not for a failed run, which time alone does not repair.

locals {
  env = "ENV=${var.environment}" # a command without it acts on the reader's own machine

  # A condition that lasts until somebody acts: one datapoint is enough.
  at_once = { statistic = "Maximum", comparison = "GreaterThanThreshold", period = 300, periods = 1, missing = "notBreaching", clears = true }
  # A single event, such as a failed run. The alarm's return to OK means nothing.
  once = merge(local.at_once, { statistic = "Sum", threshold = 0, clears = false })
  # Faults that retries usually repair: raise an alarm only if they last for 15 minutes.
  lasting = merge(local.at_once, { statistic = "Sum", threshold = 0, periods = 3 })

  dead_letter_alarms = {
    for name, queue in var.dead_letter_queues : "${name}-dead-letters" => merge(local.at_once, {
      description = "Something could not be processed and waits in ${queue}. Once the cause is gone: make redrive ${local.env}"
      namespace   = "AWS/SQS"
      metric      = "ApproximateNumberOfMessagesVisible"
      dimensions  = { QueueName = queue }
      threshold   = 0
    })
  }

  age_alarms = {
    for name, seconds in var.oldest_message_seconds : "${name}-age" => merge(local.at_once, {
      description = "A message has waited in ${var.queues[name]} for more than ${seconds} seconds: its consumer does not receive it, or fails again and again."
      namespace   = "AWS/SQS"
      metric      = "ApproximateAgeOfOldestMessage"
      dimensions  = { QueueName = var.queues[name] }
      threshold   = seconds
    })
  }

  function_alarms = merge([
    for part, function in var.functions : {
      "${part}-errors" = merge(local.lasting, {
        row         = "*-errors"
        description = "${function.name} has failed for 15 minutes, so retries do not help. See why: make logs ${local.env}"
        namespace   = "AWS/Lambda"
        metric      = "Errors"
        dimensions  = { FunctionName = function.name }
      })
      "${part}-throttles" = merge(local.lasting, {
        row         = "*-throttles"
        description = "Lambda refuses calls of ${function.name}: the concurrency of the account or of the function is used up."
        namespace   = "AWS/Lambda"
        metric      = "Throttles"
        dimensions  = { FunctionName = function.name }
      })
      "${part}-duration" = merge(local.at_once, {
        row         = "*-duration"
        description = "${function.name} has used nine tenths of its timeout of ${function.timeout_seconds} seconds: increase its timeout or memory before it fails."
        namespace   = "AWS/Lambda"
        metric      = "Duration"
        dimensions  = { FunctionName = function.name }
        threshold   = 900 * function.timeout_seconds # milliseconds
      })
    }
  ]...)

  # EventBridge calls functions asynchronously: after three failed attempts Lambda drops the event, and it is lost.
  event_alarms = merge(
    {
      for part in toset(values(var.rules)) : "${part}-events-dropped" => merge(local.once, {
        row         = "*-events-dropped"
        description = "An event for ${var.functions[part].name} was dropped after three attempts. See why: make logs ${local.env}"
        namespace   = "AWS/Lambda"
        metric      = "AsyncEventsDropped"
        dimensions  = { FunctionName = var.functions[part].name }
      })
    },
    {
      for rule, part in var.rules : "${rule}-not-called" => merge(local.once, {
        row         = "*-not-called"
        description = "The rule ${var.name}-${rule} could not call ${var.functions[part].name}."
        namespace   = "AWS/Events"
        metric      = "FailedInvocations"
        dimensions  = { RuleName = "${var.name}-${rule}" }
      })
    },
  )

  run_alarms = {
    for name, metric in { failed = "ExecutionsFailed", timed-out = "ExecutionsTimedOut", stopped = "ExecutionsAborted" } :
    "runs-${name}" => merge(local.once, {
      description = "A batch's run has ${name == "failed" ? "failed or was refused" : replace(name, "-", " ")}. Which one and why: make status ${local.env}. Once the cause is gone: make replay ${local.env} BATCH=..."
      namespace   = "AWS/States"
      metric      = metric
      dimensions  = { StateMachineArn = var.state_machine_arn }
    })
  }

  # The run itself has raised one of the alarms above. This alarm says that its ledger entry was closed late.
  late_alarms = {
    runs-closed-late = merge(local.once, {
      description = "The hourly check has closed the ledger entry of a run for whose end no event arrived. Which one: make logs ${local.env}. If it happens again, look at the rule ${var.name}-run-ended."
      namespace   = var.name
      metric      = "RunsClosedLate"
      dimensions  = { service = "finalize" }
    })
  }

  table_alarms = {
    for name, metric in { reads = "ReadThrottleEvents", writes = "WriteThrottleEvents" } : "table-throttled-${name}" => merge(local.lasting, {
      row         = "table-throttled-*"
      description = "${var.table_name} has refused ${name} for 15 minutes: they are retried, and batches take longer."
      namespace   = "AWS/DynamoDB"
      metric      = metric
      dimensions  = { TableName = var.table_name }
    })
  }

  # CloudWatch has no alarm for a time of day, so there are two alarms: one on the missing files that the scheduled check
  # counts, and one if no batch was completed within the last hours. If a complete set is not delivered, its run failed, timed
  # out or waits, for which there are other alarms.
  day_alarms = merge(
    {
      batches-held = merge(local.once, {
        description = "A batch is held, as too many records were refused or it is less than it should be: its errors were sent, its results were not. Why: make status ${local.env}. To deliver it as it is: make release ${local.env} BATCH=..."
        namespace   = var.name
        metric      = "BatchesHeld"
        dimensions  = { service = "finalize" }
      })
      batches-many = merge(local.at_once, {
        description = "More than ${var.expected_batches_per_hour} batches have started within an hour: a flood of files, corrections or replays. Which ones: make status ${local.env}. Who writes the files may have lost their key."
        namespace   = "AWS/States"
        metric      = "ExecutionsStarted"
        dimensions  = { StateMachineArn = var.state_machine_arn }
        statistic   = "Sum"
        period      = 3600
        threshold   = var.expected_batches_per_hour
      })
      files-missing = merge(local.once, {
        description = "Files of a batch were due and have not arrived. Which ones: make status ${local.env}. The verdict under feedback/ names them to the partner."
        namespace   = var.name
        metric      = "MissingFiles"
        dimensions  = { service = "intake" }
      })
    },
    var.completed_batch_within_hours == null ? {} : {
      no-batch-completed = merge(local.at_once, {
        description = "No batch has been completed within the last ${coalesce(var.completed_batch_within_hours, 0)} hours, or ever: a new deployment raises it until its first batch is completed. Where they are: make status ${local.env}"
        namespace   = var.name
        metric      = "BatchesCompleted"
        dimensions  = { service = "finalize" }
        statistic   = "Sum"
        comparison  = "LessThanThreshold"
        threshold   = 1
        period      = 3600
        periods     = var.completed_batch_within_hours
        missing     = "breaching"
      })
    },
  )

  alarms = merge(
    local.dead_letter_alarms,
    local.age_alarms,
    local.function_alarms,
    local.event_alarms,
    local.run_alarms,
    local.late_alarms,
    local.table_alarms,
    local.day_alarms,
    {
      publish-iterator-age = merge(local.at_once, {
        description = "Changes of ${var.table_name} have waited for more than 15 minutes to be sent. The stream deletes them after 24 hours."
        namespace   = "AWS/Lambda"
        metric      = "IteratorAge"
        dimensions  = { FunctionName = var.functions.publish.name }
        threshold   = 900000 # milliseconds
      })
      publish-dead-letters-lost = merge(local.once, {
        description = "A change could neither be sent to the output queue nor to ${var.dead_letter_queues.publish}. Once the cause is gone: make redrive ${local.env} BATCH=..."
        namespace   = "AWS/Lambda"
        metric      = "DestinationDeliveryFailures"
        dimensions  = { FunctionName = var.functions.publish.name }
      })
    },
  )
}
