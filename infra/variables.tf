# --- Names ---------------------------------------------------------------------------------------------------------

variable "name" {
  description = "Name of the product: the first part of every resource's name. 3 to 30 lower-case letters, digits and single hyphens."
  type        = string
  default     = "csv-pipeline"
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9]*(-[a-z0-9]+)*$", var.name)) && length(var.name) >= 3 && length(var.name) <= 30
    error_message = "name must be 3 to 30 lower-case letters, digits and single hyphens, starting with a letter: with environment and account id it becomes a bucket name, of which S3 takes at most 63 characters."
  }

  validation {
    condition     = !can(regex("^(aws|amzn|amazon|sthree|xn)(-|$)", var.name))
    error_message = "name must not start with aws, amzn, amazon, sthree or xn: AWS keeps these prefixes for itself."
  }
}

variable "environment" {
  description = "Name of the environment: the second part of every resource's name. 2 to 16 lower-case letters, digits and single hyphens."
  type        = string
  default     = "dev"
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9]*(-[a-z0-9]+)*$", var.environment)) && length(var.environment) >= 2 && length(var.environment) <= 16
    error_message = "environment must be 2 to 16 lower-case letters, digits and single hyphens, starting with a letter: role names end with it and IAM takes at most 64 characters."
  }
}

variable "region" {
  description = "AWS region of all resources, such as eu-west-1."
  type        = string
  default     = "eu-west-1"
  nullable    = false

  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]+$", var.region))
    error_message = "region must be a region's code such as eu-west-1, not its name or an availability zone."
  }
}

variable "tags" {
  description = "Tags of every resource, beside application, environment and managed-by. At most 40."
  type        = map(string)
  default     = {}
  nullable    = false

  validation {
    condition     = length(var.tags) <= 40 && alltrue([for key in keys(var.tags) : !startswith(lower(key), "aws:")])
    error_message = "tags must be at most 40 (AWS takes 50 a resource) and their keys must not start with aws:, which AWS keeps for itself."
  }
}

# --- Functions -----------------------------------------------------------------------------------------------------

variable "package_file" {
  description = "Path of the functions' zip, which `make package` builds. Default: ../build/<environment>/pipeline.zip, relative to this configuration."
  type        = string
  default     = null

  validation {
    condition     = var.package_file == null ? true : endswith(var.package_file, ".zip")
    error_message = "package_file must be the path of a .zip file: Lambda takes nothing else as a direct upload."
  }
}

variable "python_runtime" {
  description = "Lambda runtime of the functions; the package holds compiled wheels for exactly this Python."
  type        = string
  default     = "python3.13"
  nullable    = false

  validation {
    condition     = can(regex("^python3\\.1[1-9]$", var.python_runtime))
    error_message = "python_runtime must be python3.11 or later, written as Lambda names it (python3.13): the code needs Python 3.11."
  }
}

variable "architecture" {
  description = "Processor of the functions: arm64 or x86_64. The package holds compiled wheels for exactly this one."
  type        = string
  default     = "arm64"
  nullable    = false

  validation {
    condition     = contains(["arm64", "x86_64"], var.architecture)
    error_message = "architecture must be arm64 or x86_64: Lambda has no other."
  }
}

variable "memory_mb" {
  description = "Memory of each function in MB, 128 to 10240; processor time grows with it (one core at 1769). A new account may be refused more than 3008."
  type = object({
    intake    = optional(number, 256)
    transform = optional(number, 3008)
    deliver   = optional(number, 512)
    finalize  = optional(number, 256)
    publish   = optional(number, 256)
  })
  default  = {}
  nullable = false

  validation {
    condition     = alltrue([for mb in values(var.memory_mb) : mb >= 128 && mb <= 10240 && floor(mb) == mb])
    error_message = "memory_mb must be a whole number from 128 to 10240 for each function: Lambda's limits."
  }

  validation {
    condition     = var.memory_mb.transform >= 1024
    error_message = "memory_mb.transform must be at least 1024: the join of a large day needs up to 700 MB beside the interpreter."
  }
}

variable "timeout_seconds" {
  description = "Timeout of each function in seconds, 10 to 900. The ingest queue's visibility timeout and the tasks' timeouts follow from it."
  type = object({
    intake    = optional(number, 60)
    transform = optional(number, 900)
    deliver   = optional(number, 300)
    finalize  = optional(number, 60)
    publish   = optional(number, 60)
  })
  default  = {}
  nullable = false

  validation {
    condition     = alltrue([for seconds in values(var.timeout_seconds) : seconds >= 10 && seconds <= 900 && floor(seconds) == seconds])
    error_message = "timeout_seconds must be a whole number from 10 to 900 for each function: Lambda ends every call after 15 minutes, and a cold start alone takes seconds."
  }
}

variable "transform_storage_mb" {
  description = "Size of transform's /tmp in MB, 512 to 10240. It needs space for the three files of a day, what the join spills to disk and the chunk files."
  type        = number
  default     = 4096
  nullable    = false

  validation {
    condition     = var.transform_storage_mb >= 512 && var.transform_storage_mb <= 10240 && floor(var.transform_storage_mb) == var.transform_storage_mb
    error_message = "transform_storage_mb must be a whole number from 512 to 10240: Lambda's limits for /tmp."
  }
}

variable "reserved_concurrency" {
  description = "Reserved concurrency of each function, which is also its maximum, 1 to 1000; -1 for the account's unreserved pool."
  type = object({
    intake    = optional(number, -1)
    transform = optional(number, -1)
    deliver   = optional(number, -1)
    finalize  = optional(number, -1)
    publish   = optional(number, -1)
  })
  default  = {}
  nullable = false

  validation {
    condition     = alltrue([for calls in values(var.reserved_concurrency) : calls == -1 || (calls >= 1 && calls <= 1000 && floor(calls) == calls)])
    error_message = "reserved_concurrency must be -1 (none reserved) or a whole number from 1 to 1000 for each function: with 0 the function would never run."
  }
}

variable "log_level" {
  description = "Lowest level that the functions log: DEBUG, INFO, WARNING, ERROR or CRITICAL."
  type        = string
  default     = "INFO"
  nullable    = false

  validation {
    condition     = contains(["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"], var.log_level)
    error_message = "log_level must be DEBUG, INFO, WARNING, ERROR or CRITICAL: the levels that Powertools knows."
  }
}

variable "partial_batch_responses" {
  description = "Whether publish reports the stream records that failed, so that only these are retried and not the whole batch."
  type        = bool
  default     = true
  nullable    = false
}

# --- Batches -------------------------------------------------------------------------------------------------------

variable "chunk_records" {
  description = "Records per chunk file, which one call of deliver writes, 25 to 20000."
  type        = number
  default     = 5000
  nullable    = false

  validation {
    condition     = var.chunk_records >= 25 && var.chunk_records <= 20000 && floor(var.chunk_records) == var.chunk_records
    error_message = "chunk_records must be a whole number from 25 (one write of DynamoDB) to 20000 (what one call writes well within its timeout)."
  }
}

variable "deliver_concurrency" {
  description = "Chunk files delivered at the same time, 1 to 1000. A new table takes about 4000 writes per second, which about ten calls use up."
  type        = number
  default     = 10
  nullable    = false

  validation {
    condition     = var.deliver_concurrency >= 1 && var.deliver_concurrency <= 1000 && floor(var.deliver_concurrency) == var.deliver_concurrency
    error_message = "deliver_concurrency must be a whole number from 1 to 1000: an account runs 1000 calls at once unless AWS raised that."
  }
}

variable "max_error_messages" {
  description = "Record errors of one file that become messages, 1 to 100000; one more message then counts them. The rejects file always holds all."
  type        = number
  default     = 1000
  nullable    = false

  validation {
    condition     = var.max_error_messages >= 1 && var.max_error_messages <= 100000 && floor(var.max_error_messages) == var.max_error_messages
    error_message = "max_error_messages must be a whole number from 1 to 100000: with 0 the partner would get no message about refused records."
  }
}

variable "max_refused_percent" {
  description = "Percentage of a file's records, 0 to 100, that may be refused before the batch is held: its errors are then sent, its results are not. A file with at most 20 refused records does not hold the batch; a file whose records are all refused always does."
  type        = number
  default     = 20
  nullable    = false

  validation {
    condition     = var.max_refused_percent >= 0 && var.max_refused_percent <= 100 && floor(var.max_refused_percent) == var.max_refused_percent
    error_message = "max_refused_percent must be a whole number from 0 to 100: it is a share of a file's records in percent."
  }
}

variable "batch_timeout_hours" {
  description = "Hours after which a run is stopped, 1 to 336. It includes waiting for an older run of the same batch, up to about 12 hours."
  type        = number
  default     = 24
  nullable    = false

  validation {
    condition     = var.batch_timeout_hours >= 1 && var.batch_timeout_hours <= 336
    error_message = "batch_timeout_hours must be from 1 to 336: after 14 days the work files of a run and its messages in dead-letter queues are deleted."
  }
}

variable "large_days" {
  description = "Spark job on AWS Glue for days that do not fit into transform: its workers (2 to 299), their type (G.1X: 4 cores and 16 GB; G.2X, G.4X, G.8X: two, four, eight times that), its timeout in minutes (10 to 1440), how many days at the same time (1 to 50), and optionally the size of a day's files in bytes from which on the job is used although the function could do it (0: never). Null: such a day fails."
  type = object({
    workers             = optional(number, 10)
    worker_type         = optional(string, "G.1X")
    timeout_minutes     = optional(number, 120)
    max_concurrent_runs = optional(number, 2)
    from_bytes          = optional(number, 0)
  })
  default = null

  validation {
    condition     = var.large_days == null ? true : var.large_days.workers >= 2 && var.large_days.workers <= 299 && floor(var.large_days.workers) == var.large_days.workers
    error_message = "large_days.workers must be a whole number from 2 (one is the driver) to 299: AWS Glue's limit."
  }

  validation {
    condition     = var.large_days == null ? true : contains(["G.1X", "G.2X", "G.4X", "G.8X"], var.large_days.worker_type)
    error_message = "large_days.worker_type must be G.1X, G.2X, G.4X or G.8X: the other types are too small for a join, or not for Spark."
  }

  validation {
    condition     = var.large_days == null ? true : var.large_days.timeout_minutes >= 10 && var.large_days.timeout_minutes <= 1440 && floor(var.large_days.timeout_minutes) == var.large_days.timeout_minutes
    error_message = "large_days.timeout_minutes must be a whole number from 10 (Spark's start takes a part of it) to 1440: a job that needs more than a day needs more workers."
  }

  validation {
    condition     = var.large_days == null ? true : 2 * (var.large_days.timeout_minutes + 30) <= 60 * var.batch_timeout_hours
    error_message = "large_days.timeout_minutes must fit twice into batch_timeout_hours, with 30 minutes more each time: a failed job is tried once more within the same run."
  }

  validation {
    condition     = var.large_days == null ? true : var.large_days.max_concurrent_runs >= 1 && var.large_days.max_concurrent_runs <= 50 && floor(var.large_days.max_concurrent_runs) == var.large_days.max_concurrent_runs
    error_message = "large_days.max_concurrent_runs must be a whole number from 1 to 50: each run takes all its workers out of the account's quota; further days wait."
  }

  validation {
    condition     = var.large_days == null ? true : var.large_days.from_bytes >= 0 && floor(var.large_days.from_bytes) == var.large_days.from_bytes
    error_message = "large_days.from_bytes must be a whole number of bytes, or 0 for the function's own limit."
  }
}

variable "due_days" {
  description = "Days after a batch's day on which its files are due, 0 to 30: each check reports the missing files of the batch of that many days before, in UTC."
  type        = number
  default     = 1
  nullable    = false

  validation {
    condition     = var.due_days >= 0 && var.due_days <= 30 && floor(var.due_days) == var.due_days
    error_message = "due_days must be a whole number from 0 (due on the batch's own day) to 30: a report of a missing file that comes later than that is of no use."
  }
}

variable "days_ahead" {
  description = "Days that a batch may lie in the future, 0 to 366, in UTC: the name of a file with a later day is reported as one that belongs to no batch."
  type        = number
  default     = 366
  nullable    = false

  validation {
    condition     = var.days_ahead >= 0 && var.days_ahead <= 366 && floor(var.days_ahead) == var.days_ahead
    error_message = "days_ahead must be a whole number from 0 (no day after today) to 366: a day that is further ahead is a mistyped year."
  }
}

variable "due_check_schedule" {
  description = "When missing files are reported: a time of day in UTC as cron(minute hour * * ? *), on certain weekdays cron(minute hour ? * MON-FRI *). Null for no check."
  type        = string
  default     = "cron(0 12 * * ? *)"

  validation {
    condition     = var.due_check_schedule == null ? true : can(regex("^cron\\(([0-5]?[0-9]) ([01]?[0-9]|2[0-3]) (\\* \\* \\?|\\? \\* (SUN|MON|TUE|WED|THU|FRI|SAT)([,-](SUN|MON|TUE|WED|THU|FRI|SAT))*) \\*\\)$", var.due_check_schedule))
    error_message = "due_check_schedule must be a time of day in UTC such as cron(30 6 * * ? *), or on weekdays cron(30 6 ? * MON-FRI *), with minutes 0 to 59 and hours 0 to 23: each check looks at one day's files, once. Null switches it off."
  }
}

# --- Queues --------------------------------------------------------------------------------------------------------

variable "max_receive_count" {
  description = "Receives after which a message of the ingest or output queue goes to its dead-letter queue, 2 to 1000."
  type        = number
  default     = 5
  nullable    = false

  validation {
    condition     = var.max_receive_count >= 2 && var.max_receive_count <= 1000 && floor(var.max_receive_count) == var.max_receive_count
    error_message = "max_receive_count must be a whole number from 2 to 1000: with 1 a single interrupted call would move a good message to the dead-letter queue."
  }
}

variable "output_fifo" {
  description = "Whether the output queue keeps the order of each customer's messages and drops duplicates for 5 minutes. False: a standard queue, for consumers that need neither and more than 70000 messages a second."
  type        = bool
  default     = true
  nullable    = false
}

variable "output_visibility_timeout_seconds" {
  description = "Seconds for which a received message of the output queue is hidden from other consumers, 30 to 43200. For a Lambda consumer, six times its timeout."
  type        = number
  default     = 360
  nullable    = false

  validation {
    condition     = var.output_visibility_timeout_seconds >= 30 && var.output_visibility_timeout_seconds <= 43200
    error_message = "output_visibility_timeout_seconds must be from 30 to 43200 (12 hours, the limit of SQS): a shorter time gives a message to a second consumer while the first still works on it."
  }
}

# --- Alarms and dashboard ------------------------------------------------------------------------------------------

variable "alarm_emails" {
  description = "Addresses that get the alarms, each after confirming a message from AWS. At most 20; others subscribe to the topic themselves."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = length(var.alarm_emails) <= 20 && alltrue([for address in var.alarm_emails : can(regex("^[^@ ]+@[^@ ]+\\.[^@ ]+$", address))])
    error_message = "alarm_emails must be at most 20 e-mail addresses such as night@example.com: use a mailing list for more."
  }
}

variable "completed_batch_within_hours" {
  description = "An alarm is raised if no batch was completed within this number of hours, 12 to 168. For a batch every day take a little more than 24, without batches on weekends a little more than 72. Null for no such alarm."
  type        = number
  default     = 26

  validation {
    condition     = var.completed_batch_within_hours == null ? true : var.completed_batch_within_hours >= 12 && var.completed_batch_within_hours <= 168 && floor(var.completed_batch_within_hours) == var.completed_batch_within_hours
    error_message = "completed_batch_within_hours must be a whole number from 12 (batches come at most once a day) to 168 (CloudWatch looks back seven days at most), or null."
  }
}

variable "refused_share_percent" {
  description = "Share of refused records of a batch, in percent of the records read, above which an alarm is raised, 0 to 100."
  type        = number
  default     = 5
  nullable    = false

  validation {
    condition     = var.refused_share_percent >= 0 && var.refused_share_percent <= 100
    error_message = "refused_share_percent must be from 0 (any refused record raises the alarm) to 100 (none does): it is a share."
  }
}

variable "output_age_alarm_hours" {
  description = "Hours after which a message in the output queue that no consumer has received and deleted raises an alarm, 1 to 300."
  type        = number
  default     = 6
  nullable    = false

  validation {
    condition     = var.output_age_alarm_hours >= 1 && var.output_age_alarm_hours <= 300
    error_message = "output_age_alarm_hours must be from 1 to 300: SQS deletes a message after 336 hours (14 days), and somebody needs time to act before that."
  }
}

variable "prices" {
  description = "Prices in US dollars for the dashboard's cost estimates: a gigabyte-second and a call of Lambda, a state transition, a read and a write unit of DynamoDB, a request of SQS. The defaults are list prices for eu-west-1 and arm64."
  type = object({
    gb_second        = optional(number, 0.0000133334)
    function_call    = optional(number, 0.0000002)
    state_transition = optional(number, 0.000025)
    read_unit        = optional(number, 0.0000001415)
    write_unit       = optional(number, 0.000000705)
    queue_request    = optional(number, 0.0000005)
  })
  default  = {}
  nullable = false

  validation {
    condition     = alltrue([for price in values(var.prices) : price >= 0 && price < 1])
    error_message = "prices must be from 0 to below 1 US dollar each: they are for a single unit, not for a million."
  }
}

# --- Protection ----------------------------------------------------------------------------------------------------

variable "require_tls" {
  description = "Whether bucket and queues refuse requests without TLS. Off only for an environment named local or local-..., whose AWS is an emulator that speaks plain HTTP on the loopback."
  type        = bool
  default     = true
  nullable    = false

  validation {
    condition     = var.require_tls || can(regex("^local(-|$)", var.environment))
    error_message = "require_tls must be true in every environment but local or local-...: requests to AWS carry the partner's data."
  }
}

variable "kms_key" {
  description = "Customer managed KMS key for files, messages, items, logs and alarms: create for one made here, or the ARN of a key of this region whose policy allows what modules/key/key_policy.json.tftpl does. Null for the keys of AWS."
  type        = string
  default     = null

  validation {
    condition     = var.kms_key == null ? true : var.kms_key == "create" || can(regex("^arn:aws[a-z-]*:kms:${var.region}:[0-9]{12}:key/[0-9a-f-]{36}$", var.kms_key)) || can(regex("^arn:aws[a-z-]*:kms:${var.region}:[0-9]{12}:key/mrk-[0-9a-f]{32}$", var.kms_key))
    error_message = "kms_key must be create, the ARN of a key in this region (arn:aws:kms:<region>:<account>:key/<id>; not an alias, which a policy can't name), or null."
  }
}

variable "access_log_bucket" {
  description = "Name of a bucket for access logs in the same account and region, which must allow logging.s3.amazonaws.com to write. Null for no logs."
  type        = string
  default     = null

  validation {
    condition     = var.access_log_bucket == null ? true : can(regex("^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", var.access_log_bucket))
    error_message = "access_log_bucket must be a bucket's name (3 to 63 lower-case letters, digits, dots and hyphens), not its ARN or URL, or null."
  }
}

variable "vpc" {
  description = "Private network (VPC) for the functions, without access to the internet: its addresses (cidr, a private range of /16 to /24) and its availability zones by letter, two to four. Its endpoints cost about $32 a month with two zones. Null for Lambda's own network."
  type = object({
    cidr  = string
    zones = optional(list(string), ["a", "b"])
  })
  default = null

  validation {
    condition     = var.vpc == null ? true : can(cidrhost(var.vpc.cidr, 0)) && can(regex("^(10\\.|172\\.(1[6-9]|2[0-9]|3[01])\\.|192\\.168\\.).*/(1[6-9]|2[0-4])$", var.vpc.cidr))
    error_message = "vpc.cidr must be a private range of /16 to /24 such as 10.20.0.0/20: a subnet takes a sixteenth of it, and AWS makes none smaller than /28."
  }

  validation {
    condition     = var.vpc == null ? true : length(var.vpc.zones) >= 2 && length(var.vpc.zones) <= 4 && length(distinct(var.vpc.zones)) == length(var.vpc.zones) && alltrue([for zone in var.vpc.zones : can(regex("^[a-f]$", zone))])
    error_message = "vpc.zones must be two to four different letters such as [\"a\", \"b\"]: with one zone the pipeline stands still when that zone does."
  }
}

# --- The partner ---------------------------------------------------------------------------------------------------

variable "partner_account_id" {
  description = "Id of the partner's AWS account, 12 digits: its principals may assume a role that stores files under incoming/ and reads feedback/. Null for no such role."
  type        = string
  default     = null

  validation {
    condition     = var.partner_account_id == null ? true : can(regex("^[0-9]{12}$", var.partner_account_id))
    error_message = "partner_account_id must be the 12 digits of an AWS account, in quotes (a number would lose its leading zeros), or null."
  }
}

variable "partner_external_id" {
  description = "External id that the partner must send to assume the role, 16 to 1224 characters: a secret between the two of you."
  type        = string
  default     = null

  validation {
    condition     = var.partner_external_id == null ? true : can(regex("^[A-Za-z0-9+=,.@:/_-]+$", var.partner_external_id)) && length(var.partner_external_id) >= 16 && length(var.partner_external_id) <= 1224
    error_message = "partner_external_id must be 16 to 1224 letters, digits and +=,.@:/_-: what IAM takes, and long enough not to be guessed."
  }

  validation {
    condition     = (var.partner_account_id == null) == (var.partner_external_id == null)
    error_message = "partner_external_id must be given with partner_account_id, and only then: without it, anyone who can act through the partner's account could assume the role (the confused deputy problem)."
  }
}

variable "partner_user" {
  description = "Whether there is an IAM user that stores files under incoming/ and reads feedback/, for a partner without an AWS account."
  type        = bool
  default     = false
  nullable    = false
}

variable "partner_feedback" {
  description = "Whether the partner's role and user may list and read feedback/: the verdict on each batch, and the records that were refused."
  type        = bool
  default     = true
  nullable    = false
}

# --- Keeping and deleting ------------------------------------------------------------------------------------------

variable "deletion_protection" {
  description = "Whether the table refuses to be deleted and the bucket refuses to be destroyed while it holds objects."
  type        = bool
  default     = true
  nullable    = false
}

variable "table_ttl_attribute" {
  description = "Attribute with the time (Unix seconds) after which DynamoDB deletes an item, for your own changes: the pipeline itself writes no such attribute. Null to keep items forever."
  type        = string
  default     = null

  validation {
    condition     = var.table_ttl_attribute == null ? true : length(var.table_ttl_attribute) >= 1 && length(var.table_ttl_attribute) <= 255 && !contains(["pk", "sk"], var.table_ttl_attribute)
    error_message = "table_ttl_attribute must be an attribute's name of 1 to 255 characters other than pk and sk, which are texts, or null."
  }
}

variable "log_retention_days" {
  description = "Days for which logs are kept; one of the steps that CloudWatch offers."
  type        = number
  default     = 90
  nullable    = false

  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653], var.log_retention_days)
    error_message = "log_retention_days must be one of CloudWatch's steps: 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288 or 3653."
  }
}

variable "work_retention_days" {
  description = "Days for which the files under work/ are kept, 15 to 3650."
  type        = number
  default     = 30
  nullable    = false

  validation {
    condition     = var.work_retention_days >= 15 && var.work_retention_days <= 3650 && floor(var.work_retention_days) == var.work_retention_days
    error_message = "work_retention_days must be a whole number from 15 to 3650: a run may last up to 14 days and needs its work files until its end."
  }
}

variable "feedback_retention_days" {
  description = "Days for which verdicts and refused records under feedback/ are kept, 1 to 3650; S3 deletes them for good one day later."
  type        = number
  default     = 90
  nullable    = false

  validation {
    condition     = var.feedback_retention_days >= 1 && var.feedback_retention_days <= 3650 && floor(var.feedback_retention_days) == var.feedback_retention_days
    error_message = "feedback_retention_days must be a whole number from 1 to 3650: S3 counts whole days, and verdicts and error messages point at these files."
  }
}

variable "old_version_retention_days" {
  description = "Days for which an overwritten or deleted object can still be read, 15 to 3650."
  type        = number
  default     = 90
  nullable    = false

  validation {
    condition     = var.old_version_retention_days >= 15 && var.old_version_retention_days <= 3650 && floor(var.old_version_retention_days) == var.old_version_retention_days
    error_message = "old_version_retention_days must be a whole number from 15 to 3650: a run reads the exact versions that made its set complete, for up to 14 days."
  }
}

variable "aborted_upload_retention_days" {
  description = "Days after which the parts of an incomplete multipart upload are deleted, 1 to 365."
  type        = number
  default     = 7
  nullable    = false

  validation {
    condition     = var.aborted_upload_retention_days >= 1 && var.aborted_upload_retention_days <= 365 && floor(var.aborted_upload_retention_days) == var.aborted_upload_retention_days
    error_message = "aborted_upload_retention_days must be a whole number from 1 to 365: S3 counts whole days, and the parts of aborted uploads cost money."
  }
}
