# One alarm for each way to fail. `clears` says whether the topic also gets a message when the alarm returns to OK: for a queue
# that is empty again, but not for a run that failed, which is not repaired by the passing of time.

locals {
  # A condition that lasts until somebody acts: one datapoint is enough.
  at_once = { statistic = "Maximum", comparison = "GreaterThanThreshold", period = 300, periods = 1, missing = "notBreaching", clears = true }
  # An event: it happened, and time does not undo it.
  once = merge(local.at_once, { statistic = "Sum", threshold = 0, clears = false })
  # Faults that retries usually overcome: an alarm only when they last for 15 minutes.
  lasting = merge(local.at_once, { statistic = "Sum", threshold = 0, periods = 3 })

  dead_letter_alarms = {
    for name, queue in var.dead_letter_queues : "${name}-dead-letters" => merge(local.at_once, {
      description = "Something could not be processed and waits in ${queue}. Once the cause is gone: make redrive"
      namespace   = "AWS/SQS"
      metric      = "ApproximateNumberOfMessagesVisible"
      dimensions  = { QueueName = queue }
      threshold   = 0
    })
  }

  age_alarms = {
    for name, seconds in var.oldest_message_seconds : "${name}-age" => merge(local.at_once, {
      description = "A message has waited in ${var.queues[name]} for more than ${seconds} seconds: what should take it does not, or fails again and again."
      namespace   = "AWS/SQS"
      metric      = "ApproximateAgeOfOldestMessage"
      dimensions  = { QueueName = var.queues[name] }
      threshold   = seconds
    })
  }

  function_alarms = merge([
    for part, function in var.functions : {
      "${part}-errors" = merge(local.lasting, {
        description = "${function.name} has failed for 15 minutes, so retries do not help. See why: make logs"
        namespace   = "AWS/Lambda"
        metric      = "Errors"
        dimensions  = { FunctionName = function.name }
      })
      "${part}-throttles" = merge(local.lasting, {
        description = "${function.name} is refused calls: the account's or its own concurrency is used up."
        namespace   = "AWS/Lambda"
        metric      = "Throttles"
        dimensions  = { FunctionName = function.name }
      })
      "${part}-duration" = merge(local.at_once, {
        description = "${function.name} has used nine tenths of its timeout of ${function.timeout_seconds} seconds: give it more time or memory before it needs it."
        namespace   = "AWS/Lambda"
        metric      = "Duration"
        dimensions  = { FunctionName = function.name }
        threshold   = 900 * function.timeout_seconds # milliseconds
      })
    }
  ]...)

  # Functions that EventBridge calls asynchronously: Lambda drops an event after three attempts, and it is lost.
  event_alarms = merge(
    {
      for part in toset(values(var.rules)) : "${part}-events-dropped" => merge(local.once, {
        description = "An event for ${var.functions[part].name} was given up after three tries. See why: make logs"
        namespace   = "AWS/Lambda"
        metric      = "AsyncEventsDropped"
        dimensions  = { FunctionName = var.functions[part].name }
      })
    },
    {
      for rule, part in var.rules : "${rule}-not-called" => merge(local.once, {
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
      description = "A batch's run has ${name == "failed" ? "failed or was refused" : replace(name, "-", " ")}. Which one and why: make status. Once the cause is gone: make replay BATCH=..."
      namespace   = "AWS/States"
      metric      = metric
      dimensions  = { StateMachineArn = var.state_machine_arn }
    })
  }

  # The run itself has raised one of the alarms above; this one says that its ledger entry was closed late.
  late_alarms = {
    runs-closed-late = merge(local.once, {
      description = "The hourly check has closed the ledger entry of a run for whose end no event arrived. Which one: make logs. If it happens again, look at the rule ${var.name}-run-ended."
      namespace   = var.namespace
      metric      = "RunsClosedLate"
      dimensions  = { service = "finalize" }
    })
  }

  table_alarms = {
    for name, metric in { reads = "ReadThrottleEvents", writes = "WriteThrottleEvents" } : "table-throttled-${name}" => merge(local.lasting, {
      description = "${var.table_name} has refused ${name} for a quarter of an hour: retries wait, and batches take longer."
      namespace   = "AWS/DynamoDB"
      metric      = metric
      dimensions  = { TableName = var.table_name }
    })
  }

  # CloudWatch has no alarm for a time of day, so there are two: the scheduled check counts the files that are due and missing,
  # and at any time some batch must have been completed within the last hours. A complete set that was not delivered is a run
  # that failed, timed out or waits, which have alarms of their own.
  day_alarms = merge(
    {
      batches-held = merge(local.once, {
        description = "So many records of a file were refused that the batch is held: its errors were sent, its results were not. Which file: make status. To deliver it as it is: make release BATCH=..."
        namespace   = var.namespace
        metric      = "BatchesHeld"
        dimensions  = { service = "finalize" }
      })
      files-missing = merge(local.once, {
        description = "Files of a batch were due and have not arrived. Which ones: make status. The partner has an error message for each."
        namespace   = var.namespace
        metric      = "MissingFiles"
        dimensions  = { service = "intake" }
      })
    },
    var.completed_batch_within_hours == null ? {} : {
      no-batch-completed = merge(local.at_once, {
        description = "No batch has been completed within the last ${coalesce(var.completed_batch_within_hours, 0)} hours, or ever: a new deployment raises it until its first batch is completed. Where they are: make status"
        namespace   = var.namespace
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
        description = "Changes of ${var.table_name} have waited for more than a quarter of an hour to be sent. The stream forgets them after 24 hours."
        namespace   = "AWS/Lambda"
        metric      = "IteratorAge"
        dimensions  = { FunctionName = var.functions.publish.name }
        threshold   = 900000 # milliseconds
      })
      publish-dead-letters-lost = merge(local.once, {
        description = "A change could neither be sent nor set aside in ${var.dead_letter_queues.publish}. Once the cause is gone: make replay BATCH=..."
        namespace   = "AWS/Lambda"
        metric      = "DestinationDeliveryFailures"
        dimensions  = { FunctionName = var.functions.publish.name }
      })
    },
  )
}
