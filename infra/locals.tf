# Names, tags and the settings of the five functions, for use in all files of the root module. A setting that nobody changes
# in the first year is here, with its reason, and not a variable.

locals {
  # All names start with the prefix. The bucket's ends with the account id, as bucket names are unique in all of AWS.
  prefix      = "${var.name}-${var.environment}"
  bucket_name = "${local.prefix}-${data.aws_caller_identity.current.account_id}"

  tags = merge({ application = var.name, environment = var.environment, managed-by = "terraform" }, var.tags)

  # What the modules need to build ARNs from names. Such an ARN is known while planning, so a plan shows every policy in
  # full, and two modules that name each other make no cycle.
  scope = {
    partition  = data.aws_partition.current.partition
    region     = var.region
    account_id = data.aws_caller_identity.current.account_id
  }

  package_file = coalesce(var.package_file, "${path.root}/../build/${var.environment}/pipeline.zip")

  # The AWS of an environment named local or local-… is an emulator that speaks plain HTTP on the loopback; everywhere else
  # requests without TLS are refused. Its provider can't ask for partial batch responses, so publish must fail a batch as a whole.
  on_emulator = can(regex("^local(-|$)", var.environment))

  # A run is stopped after this time, which includes waiting for an older run of the same batch.
  batch_timeout_hours = 24

  # A single interrupted call must not move a good message to the dead-letter queue; five failed ones are no accident.
  max_receive_count = 5

  # What a call needs at most, several times over. Processor time grows with memory: one core at 1769 MB. Lambda ends every
  # call after 900 seconds.
  memory_mb       = { intake = 256, transform = var.transform.memory_mb, deliver = 512, finalize = 256, publish = 256 }
  timeout_seconds = { intake = 60, transform = 900, deliver = 300, finalize = 60, publish = 60 }

  # A timeout returns the messages of a queue's batch together; six times the function's timeout leaves room for the
  # retries that Lambda makes when it is throttled, before a message becomes visible again.
  ingest_visibility_timeout_seconds = 6 * local.timeout_seconds.intake

  functions = {
    intake = {
      description = "Takes S3 events out of the ingest queue and starts a run when all files of a day are there"
      environment = {
        BUCKET_NAME       = local.bucket_name
        TABLE_NAME        = module.table.name
        STATE_MACHINE_ARN = module.workflow.state_machine_arn
        DUE_DAYS          = tostring(var.due_days)
        DAYS_AHEAD        = tostring(var.days_ahead)
        DAYS_BACK         = tostring(var.days_back)
        CONTROL_FILE      = var.control_file
      }
      storage_mb = 512
      # One message per call, so that a message that fails does not return others to the queue.
      event_source = { arn = module.ingest_queue.arn, batch_size = 1 }
    }
    transform = {
      description = "Validates and joins the files of a batch and writes what is to be delivered as chunk files"
      environment = {
        BUCKET_NAME          = local.bucket_name
        TABLE_NAME           = module.table.name
        STATE_MACHINE_ARN    = module.workflow.state_machine_arn
        CHUNK_RECORDS        = "5000" # what one call of deliver writes well within its timeout
        MAX_ERROR_MESSAGES   = "1000" # for each file; one more message then counts the others, and the rejects file holds all
        MAX_REFUSED_PERCENT  = tostring(var.max_refused_percent)
        MIN_DAY_PERCENT      = tostring(var.min_day_percent)
        MAX_REMOVED_PERCENT  = tostring(var.max_removed_percent)
        DECIMAL_MARK         = var.decimal_mark
        CONTROL_FILE         = var.control_file # only for feedback/settings.json
        WRITER_GRACE_SECONDS = tostring(local.timeout_seconds.deliver)
        LARGE_DAYS           = tostring(var.large_days != null)
        LARGE_DAY_BYTES      = tostring(try(var.large_days.from_bytes, 0))
      }
      storage_mb   = var.transform.storage_mb
      event_source = null
    }
    deliver = {
      description = "Writes one chunk file into the table"
      environment = {
        BUCKET_NAME = local.bucket_name
        TABLE_NAME  = module.table.name
      }
      storage_mb   = 512
      event_source = null
    }
    finalize = {
      description = "Closes the ledger entry of a batch and writes the verdict for the partner"
      environment = {
        BUCKET_NAME          = local.bucket_name
        TABLE_NAME           = module.table.name
        STATE_MACHINE_ARN    = module.workflow.state_machine_arn
        WRITER_GRACE_SECONDS = tostring(local.timeout_seconds.deliver)
      }
      storage_mb   = 512
      event_source = null
    }
    publish = {
      description = "Sends a message for every change that the table's stream shows"
      environment = {
        TABLE_NAME              = module.table.name
        QUEUE_URL               = module.output_queue.url
        DEAD_LETTER_QUEUE_URL   = module.publish_dead_letter_queue.url
        PARTIAL_BATCH_RESPONSES = tostring(!local.on_emulator)
      }
      storage_mb = 512
      event_source = {
        arn        = module.table.stream_arn
        batch_size = 100
        # Start at the oldest record, so that items written before the mapping existed are not missed.
        starting_position                  = "TRIM_HORIZON"
        maximum_batching_window_in_seconds = 1
        # Shards are split by key, so the changes of one message group keep their order.
        parallelization_factor = 4
        bisect_batch_on_error  = true
        # Retried for half of the 24 hours that a stream keeps; the other half is there to act on the dead letter. Only
        # the age ends the retries: a number of attempts would be used up within minutes.
        maximum_retry_attempts        = -1
        maximum_record_age_in_seconds = 43200
        on_failure_arn                = module.publish_dead_letter_queue.arn
        partial_batch_responses       = !local.on_emulator
      }
    }
  }

  # EventBridge rules that call a function, on a schedule or for an event.
  triggers = merge(
    var.due_check_schedule == null ? {} : {
      due-check = {
        description   = "Asks intake to report the files that are due and missing"
        function      = "intake"
        schedule      = var.due_check_schedule
        event_pattern = null
      }
    },
    {
      run-ended = {
        # Such a run passes no Catch, so nothing in the state machine can close its ledger entry.
        description   = "Lets finalize close the ledger entry of a run that Step Functions ended: timed out, stopped, failed"
        function      = "finalize"
        schedule      = null
        event_pattern = templatefile("${path.module}/events/run_ended.json.tftpl", { state_machine_arn = module.workflow.state_machine_arn })
      }
      ended-runs-check = {
        # Step Functions delivers such an event at best effort: a lost one must not leave a ledger entry open.
        description   = "Lets finalize close the ledger entry of every run for whose end no event arrived"
        function      = "finalize"
        schedule      = "rate(1 hour)"
        event_pattern = null
      }
    },
  )

  # The key for encryption: null for AWS's own keys, else the created or the given one.
  kms_key = var.kms_key == null ? null : { arn = var.kms_key == "create" ? one(module.key[*].arn) : var.kms_key }

  # Who may use it, and whether to write as well: files (intake, transform, finalize, the partner), messages (publish).
  key_policies = {
    for user, access in {
      intake     = "write"
      transform  = "write"
      deliver    = "read"
      finalize   = "write"
      publish    = "write"
      workflow   = "write"
      large_days = "write"
      partner    = "write"
    } :
    user => {
      for key in local.kms_key[*] : "key" => templatefile("${path.module}/policies/key_${access}.json.tftpl", { key_arn = key.arn })
    }
  }

  # What transform needs to take the result of the job for large days.
  large_day_policies = {
    for part in keys(local.functions) : part => {
      for job in var.large_days[*] : "large-days" => templatefile("${path.module}/policies/large_day.json.tftpl", local.policy_values) if part == "transform"
    }
  }

  # The private network, and what Lambda needs to place a function in it.
  network = var.vpc == null ? null : one(module.network[*].functions)
  network_policies = {
    for part in keys(local.functions) : part => {
      for network in var.vpc[*] : "network" => templatefile("${path.module}/policies/network.json.tftpl", {
        function_arn = "arn:${local.scope.partition}:lambda:${local.scope.region}:${local.scope.account_id}:function:${local.prefix}-${part}"
      })
    }
  }

  policy_values = {
    bucket_arn              = module.bucket.arn
    table_arn               = module.table.arn
    stream_arn              = module.table.stream_arn
    state_machine_arn       = module.workflow.state_machine_arn
    execution_arn           = module.workflow.execution_arn
    map_run_arn             = module.workflow.map_run_arn
    ingest_queue_arn        = module.ingest_queue.arn
    output_queue_arn        = module.output_queue.arn
    publish_dead_letter_arn = module.publish_dead_letter_queue.arn
    # The partition keys of results, which follow from the data model: `make contracts` writes the file.
    result_keys = jsondecode(file("${path.module}/policies/table_keys.json")).results
  }
}
