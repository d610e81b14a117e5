# The Spark job on AWS Glue for days that do not fit into the function: the job with its code, its role and its log groups.

locals {
  # Built from names and not from resources, so that they are known at plan time and the plan shows every policy in full.
  arn     = "arn:${var.scope.partition}:glue:${var.scope.region}:${var.scope.account_id}:job/${var.name}"
  log_arn = "arn:${var.scope.partition}:logs:${var.scope.region}:${var.scope.account_id}:log-group"

  # AWS Glue Developer Guide, "Logging for AWS Glue jobs": <prefix>/error and <prefix>/output; with a security
  # configuration that encrypts logs, its name and the role's stand between.
  log_group_prefix = "/aws-glue/jobs/${var.name}"
  log_group_path   = var.kms_key == null ? local.log_group_prefix : "${local.log_group_prefix}/${var.name}-role/${var.name}"

  # A deployment overwrites the code and never deletes it, as a run of the job may be queued.
  code = {
    "pipeline.gluewheels.zip" = var.package_file
    "run_job.py"              = "${path.module}/run_job.py"
  }
}

resource "aws_iam_role" "this" {
  name               = var.name
  description        = "Role of the job ${var.name}"
  assume_role_policy = file("${path.module}/trust.json")
}

resource "aws_iam_role_policy" "work" {
  name = "work"
  role = aws_iam_role.this.name
  policy = templatefile("${path.module}/policy.json.tftpl", {
    bucket_arn = var.bucket_arn
    table_arn  = var.table_arn
  })
}

resource "aws_iam_role_policy" "telemetry" {
  name = "telemetry"
  role = aws_iam_role.this.name
  policy = templatefile("${path.module}/telemetry.json.tftpl", {
    log_group_arn = "${local.log_arn}:${local.log_group_path}"
  })
}

resource "aws_iam_role_policy" "further" {
  for_each = var.further_policies

  name   = each.key
  role   = aws_iam_role.this.name
  policy = each.value
}

resource "aws_cloudwatch_log_group" "this" {
  for_each = toset(["error", "output"])

  name              = "${local.log_group_path}/${each.key}"
  retention_in_days = var.log_retention_days
  kms_key_id        = one(var.kms_key[*].arn)
}

resource "aws_glue_security_configuration" "this" {
  count = var.kms_key == null ? 0 : 1

  name = var.name

  encryption_configuration {
    cloudwatch_encryption {
      cloudwatch_encryption_mode = "SSE-KMS"
      kms_key_arn                = var.kms_key.arn
    }

    job_bookmarks_encryption {
      job_bookmarks_encryption_mode = "CSE-KMS"
      kms_key_arn                   = var.kms_key.arn
    }

    s3_encryption {
      s3_encryption_mode = "SSE-KMS"
      kms_key_arn        = var.kms_key.arn
    }
  }
}

resource "aws_s3_object" "code" {
  for_each = local.code

  bucket   = var.bucket_name
  key      = "code/${each.key}"
  source   = each.value
  metadata = { sha256 = fileexists(each.value) ? filesha256(each.value) : "not-built" } # another content is uploaded again

  # S3 takes 10 tags an object, and the tags of all resources may be 43.
  override_provider {
    default_tags {
      tags = {}
    }
  }

  lifecycle {
    # As for a function's package: a plan in a clean checkout must work without one, but an apply must not.
    precondition {
      condition     = fileexists(each.value) || aws_iam_role.this.unique_id == ""
      error_message = "There is no package ${each.value} of the job for large days: build it with `make package` for this environment, then plan again."
    }
  }
}

resource "aws_glue_job" "this" {
  #checkov:skip=CKV_AWS_195:a security configuration needs a customer managed key; without kms_key, S3 and CloudWatch encrypt with keys of AWS
  name                   = var.name
  description            = "Processes a day that does not fit into the function"
  role_arn               = aws_iam_role.this.arn
  glue_version           = "5.1" # Spark 3.5.6, Python 3.11: requirements-large.lock has the same
  worker_type            = var.worker_type
  number_of_workers      = var.workers
  timeout                = var.timeout_minutes
  max_retries            = 0 # the state machine retries
  security_configuration = one(aws_glue_security_configuration.this[*].name)

  execution_property {
    max_concurrent_runs = var.max_concurrent_runs
  }

  command {
    name            = "glueetl"
    python_version  = "3"
    script_location = "s3://${var.bucket_name}/${aws_s3_object.code["run_job.py"].key}"
  }

  default_arguments = {
    "--bucket"                          = var.bucket_name
    "--table"                           = var.table_name
    "--region"                          = var.scope.region
    "--additional-python-modules"       = "s3://${var.bucket_name}/${aws_s3_object.code["pipeline.gluewheels.zip"].key}"
    "--python-modules-installer-option" = "--no-index" # the package has every wheel, so no index is asked
    "--custom-logGroup-prefix"          = local.log_group_prefix
    "--job-bookmark-option"             = "job-bookmark-disable"
    "--job-language"                    = "python"
  }

  # Without the log groups, Glue would create some that keep logs forever; without the permissions, early runs would fail.
  depends_on = [
    aws_cloudwatch_log_group.this,
    aws_iam_role_policy.telemetry,
    aws_iam_role_policy.work,
    aws_iam_role_policy.further,
  ]
}
