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

# --- The way of a day -----------------------------------------------------------------------------------------------

variable "package_file" {
  description = "Path of the functions' zip, which `make package` builds. Default: ../build/<environment>/pipeline.zip, relative to this configuration."
  type        = string
  default     = null

  validation {
    condition     = var.package_file == null ? true : endswith(var.package_file, ".zip")
    error_message = "package_file must be the path of a .zip file: Lambda takes nothing else as a direct upload."
  }
}

variable "transform" {
  description = "Size of the function that processes a day, and how many days it processes at once. Its memory in MB (1024 to 10240; a new account may be refused more than 3008), its /tmp in MB (512 to 10240), which holds the files of a day, what the join spills to disk and the chunk files, and how many days it processes at once (1 to 1000; further runs wait; 0 for no limit, as in a new account, which can't reserve calls)."
  type = object({
    memory_mb   = optional(number, 3008)
    storage_mb  = optional(number, 4096)
    concurrency = optional(number, 10)
  })
  default  = {}
  nullable = false

  validation {
    condition     = var.transform.memory_mb >= 1024 && var.transform.memory_mb <= 10240 && floor(var.transform.memory_mb) == var.transform.memory_mb
    error_message = "transform.memory_mb must be a whole number from 1024 (the join of a large day needs up to 700 MB beside the interpreter) to 10240, Lambda's limit."
  }

  validation {
    condition     = var.transform.storage_mb >= 512 && var.transform.storage_mb <= 10240 && floor(var.transform.storage_mb) == var.transform.storage_mb
    error_message = "transform.storage_mb must be a whole number from 512 to 10240: Lambda's limits for /tmp."
  }

  validation {
    condition     = var.transform.concurrency >= 0 && var.transform.concurrency <= 1000 && floor(var.transform.concurrency) == var.transform.concurrency
    error_message = "transform.concurrency must be a whole number from 0 (no limit) to 1000."
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

variable "min_day_percent" {
  description = "Percentage of its usual number of records, 0 to 100, that a file must have, else the batch is held. Usual is the median of the same weekday in the last four weeks, or of the last eight days. A file that lacks less than 20 records does not hold the batch; 0 switches the comparison off."
  type        = number
  default     = 50
  nullable    = false

  validation {
    condition     = var.min_day_percent >= 0 && var.min_day_percent <= 100 && floor(var.min_day_percent) == var.min_day_percent
    error_message = "min_day_percent must be a whole number from 0 to 100: it is a share of the usual number of records in percent."
  }
}

variable "max_removed_percent" {
  description = "Percentage of the results that were delivered before, 0 to 100, that a correction may remove, else it is held. A correction that removes at most 20 results is never held because of that."
  type        = number
  default     = 10
  nullable    = false

  validation {
    condition     = var.max_removed_percent >= 0 && var.max_removed_percent <= 100 && floor(var.max_removed_percent) == var.max_removed_percent
    error_message = "max_removed_percent must be a whole number from 0 to 100: it is a share of the results delivered before in percent."
  }
}

variable "decimal_mark" {
  description = "Decimal mark of the amounts in all files: point or comma, or auto: the point in files delimited by commas, else as the amounts of a file show it. Files in which they leave a doubt are refused."
  type        = string
  default     = "auto"
  nullable    = false

  validation {
    condition     = contains(["auto", "point", "comma"], var.decimal_mark)
    error_message = "decimal_mark must be auto, point or comma."
  }
}

variable "large_days" {
  description = "Spark job on AWS Glue for days that do not fit into transform. Its workers (2 to 299; of larger types as many fewer), their type (G.1X: 4 cores and 16 GB; G.2X, G.4X, G.8X: two, four, eight times that), its timeout in minutes (10 to 690), how many days at the same time (1 to 50), and optionally the size of a day's files in bytes from which on the job is used although the function could do it (0: never). Null: such a day fails."
  type = object({
    workers             = optional(number, 10)
    worker_type         = optional(string, "G.1X")
    timeout_minutes     = optional(number, 120)
    max_concurrent_runs = optional(number, 2)
    from_bytes          = optional(number, 0)
  })
  default = null

  validation {
    condition     = var.large_days == null ? true : var.large_days.workers >= 2 && var.large_days.workers <= lookup({ "G.1X" = 299, "G.2X" = 149, "G.4X" = 74, "G.8X" = 37 }, var.large_days.worker_type, 299) && floor(var.large_days.workers) == var.large_days.workers
    error_message = "large_days.workers must be a whole number from 2 (one is the driver) to what AWS Glue takes of the type: 299 of G.1X, 149 of G.2X, 74 of G.4X, 37 of G.8X (the same capacity)."
  }

  validation {
    condition     = var.large_days == null ? true : contains(["G.1X", "G.2X", "G.4X", "G.8X"], var.large_days.worker_type)
    error_message = "large_days.worker_type must be G.1X, G.2X, G.4X or G.8X: the other types are too small for a join, or not for Spark."
  }

  validation {
    condition     = var.large_days == null ? true : var.large_days.timeout_minutes >= 10 && var.large_days.timeout_minutes <= 690 && floor(var.large_days.timeout_minutes) == var.large_days.timeout_minutes
    error_message = "large_days.timeout_minutes must be a whole number from 10 (Spark's start takes a part of it) to 690: a failed job is tried once more within the 24 hours of a run, and each may wait 30 minutes for its workers."
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
  description = "Days after a batch's day on which its files are due, 0 to 30. Each check reports the missing files of the batch of that many days before, in UTC."
  type        = number
  default     = 1
  nullable    = false

  validation {
    condition     = var.due_days >= 0 && var.due_days <= 30 && floor(var.due_days) == var.due_days
    error_message = "due_days must be a whole number from 0 (due on the batch's own day) to 30: a report of a missing file that comes later than that is of no use."
  }
}

variable "control_file" {
  description = "Whether the partner sends a control file (control_YYYYMMDD.csv) that says how many records each file has: required (a day waits for it), accepted (it counts when it is there) or off (it is a foreign file)."
  type        = string
  default     = "accepted"
  nullable    = false

  validation {
    condition     = contains(["required", "accepted", "off"], var.control_file)
    error_message = "control_file must be required, accepted or off."
  }
}

variable "days_back" {
  description = "Days that a batch may lie in the past, 1 to 36500, in UTC. The name of a file with an earlier day is reported as one that belongs to no batch, so that whoever may write files can't change all of the past."
  type        = number
  default     = 366
  nullable    = false

  validation {
    condition     = var.days_back >= 1 && var.days_back <= 36500 && floor(var.days_back) == var.days_back
    error_message = "days_back must be a whole number from 1 to 36500 (any day since 2000)."
  }
}

variable "expected_batches_per_hour" {
  description = "An alarm tells if more batches than this start within an hour, 1 to 10000: a flood of files, corrections or replays."
  type        = number
  default     = 24
  nullable    = false

  validation {
    condition     = var.expected_batches_per_hour >= 1 && var.expected_batches_per_hour <= 10000 && floor(var.expected_batches_per_hour) == var.expected_batches_per_hour
    error_message = "expected_batches_per_hour must be a whole number from 1 to 10000."
  }
}

variable "days_ahead" {
  description = "Days that a batch may lie in the future, 0 to 366, in UTC. The name of a file with a later day is reported as one that belongs to no batch."
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

# --- Consumers ------------------------------------------------------------------------------------------------------

variable "output_visibility_timeout_seconds" {
  description = "Seconds for which a received message of the output queue is hidden from other consumers, 30 to 43200. For a Lambda consumer, six times its timeout."
  type        = number
  default     = 360
  nullable    = false

  validation {
    condition     = var.output_visibility_timeout_seconds >= 30 && var.output_visibility_timeout_seconds <= 43200 && floor(var.output_visibility_timeout_seconds) == var.output_visibility_timeout_seconds
    error_message = "output_visibility_timeout_seconds must be a whole number from 30 to 43200 (12 hours, the limit of SQS): a shorter time gives a message to a second consumer while the first still works on it."
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

# --- Protection ----------------------------------------------------------------------------------------------------

variable "kms_key" {
  description = "Customer managed KMS key for files, messages, items, logs and alarms. The word create for one made here, or the ARN of a key of this region whose policy allows what modules/key/key_policy.json.tftpl does. Null for the keys of AWS."
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
  description = "Private network (VPC) for the functions, without access to the internet. Its addresses (cidr, a private range of /16 to /24) and its availability zones by letter, two to four. Its endpoints cost about $32 a month with two zones. Null for Lambda's own network."
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

variable "partner" {
  description = "The partner's access, which stores files under incoming/ and reads feedback/. With account_id (12 digits, in quotes) and external_id (16 to 1224 characters, a secret between the two of you) a role that this account's principals may assume; with user an IAM user, for a partner without an account. With feedback = false neither may read feedback/."
  type = object({
    account_id  = optional(string)
    external_id = optional(string)
    user        = optional(bool, false)
    feedback    = optional(bool, true)
  })
  default  = {}
  nullable = false

  validation {
    condition     = var.partner.account_id == null ? true : can(regex("^[0-9]{12}$", var.partner.account_id))
    error_message = "partner.account_id must be the 12 digits of an AWS account, in quotes (a number would lose its leading zeros), or null."
  }

  validation {
    condition     = var.partner.external_id == null ? true : can(regex("^[A-Za-z0-9+=,.@:/_-]{16,}$", var.partner.external_id)) && length(var.partner.external_id) <= 1224
    error_message = "partner.external_id must be 16 to 1224 letters, digits and +=,.@:/_-: what IAM takes, and long enough not to be guessed."
  }

  validation {
    condition     = (var.partner.account_id == null) == (var.partner.external_id == null)
    error_message = "partner.external_id must be given with partner.account_id, and only then: without it, anyone who can act through the partner's account could assume the role (the confused deputy problem)."
  }
}

# --- Keeping and deleting ------------------------------------------------------------------------------------------

variable "deletion_protection" {
  description = "Whether the table refuses to be deleted and the bucket refuses to be destroyed while it holds objects."
  type        = bool
  default     = true
  nullable    = false
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

variable "incoming_retention_days" {
  description = "Days for which the partner's files under incoming/ are kept, 15 to 3650; S3 deletes them for good old_version_retention_days later. Null: forever, so that any day can be processed again."
  type        = number
  default     = null

  validation {
    condition     = var.incoming_retention_days == null ? true : var.incoming_retention_days >= 15 && var.incoming_retention_days <= 3650 && floor(var.incoming_retention_days) == var.incoming_retention_days
    error_message = "incoming_retention_days must be a whole number from 15 (a file may wait for the others of its day, and a corrected one for a replay) to 3650, or null."
  }
}

variable "feedback_retention_days" {
  description = "Days for which verdicts and refused records under feedback/ are kept, 1 to 3650; S3 deletes them for good within the next three."
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
