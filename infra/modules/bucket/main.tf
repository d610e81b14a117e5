# The bucket: the partner writes to incoming/ and reads feedback/, the rest is for the pipeline alone. S3 sends a
# notification of every new object under incoming/ to the ingest queue. Private, versioned, encrypted, TLS only.

locals {
  # Built from the name and not from the resource, so that it is known at plan time and makes no cycle with the queue's policy.
  arn = "arn:${var.scope.partition}:s3:::${var.name}"

  expiring = {
    incoming = { days = var.incoming_retention_days, noncurrent_days = null } # a run reads exact versions
    feedback = { days = var.feedback_retention_days, noncurrent_days = 1 }    # the partner's records, as they were read
    work     = { days = 30, noncurrent_days = 1 }                             # a run may last a day; they show afterwards what it did
  }

  policy = jsondecode(templatefile("${path.module}/policy.json.tftpl", {
    bucket_arn = local.arn
    own_key    = coalesce(one(var.kms_key[*].arn), "none")
  }))
}

resource "aws_s3_bucket" "this" {
  #checkov:skip=CKV_AWS_144:the partner keeps the originals, and what is stored from them is in the table, which has backups
  bucket        = var.name
  force_destroy = !var.deletion_protection
}

resource "aws_s3_bucket_public_access_block" "this" {
  bucket = aws_s3_bucket.this.bucket

  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_ownership_controls" "this" {
  bucket = aws_s3_bucket.this.bucket

  rule {
    # ACLs are disabled: this account owns what a partner's account uploads.
    object_ownership = "BucketOwnerEnforced"
  }
}

resource "aws_s3_bucket_versioning" "this" {
  bucket = aws_s3_bucket.this.bucket

  versioning_configuration {
    status = "Enabled"
  }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "this" {
  bucket = aws_s3_bucket.this.bucket

  rule {
    # With an S3 Bucket Key, S3 does not call KMS for every object.
    bucket_key_enabled = var.kms_key != null

    apply_server_side_encryption_by_default {
      sse_algorithm     = var.kms_key == null ? "AES256" : "aws:kms"
      kms_master_key_id = one(var.kms_key[*].arn)
    }
  }
}

resource "aws_s3_bucket_lifecycle_configuration" "this" {
  bucket = aws_s3_bucket.this.bucket

  # In a versioned bucket an expiration only adds a delete marker. The old version is deleted by the rule old-versions or, where
  # noncurrent_days is given here, as many days later. S3 rounds both up to the next midnight UTC.
  dynamic "rule" {
    for_each = { for prefix, kept in local.expiring : prefix => kept if kept.days != null }

    content {
      id     = rule.key
      status = "Enabled"

      filter {
        prefix = "${rule.key}/"
      }

      expiration {
        days = rule.value.days
      }

      dynamic "noncurrent_version_expiration" {
        for_each = rule.value.noncurrent_days[*]

        content {
          noncurrent_days = noncurrent_version_expiration.value
        }
      }
    }
  }

  rule {
    id     = "old-versions"
    status = "Enabled"

    filter {}

    noncurrent_version_expiration {
      noncurrent_days = var.old_version_retention_days
    }
  }

  rule {
    id     = "leftovers"
    status = "Enabled"

    filter {}

    # A delete marker without any older version is useless.
    expiration {
      expired_object_delete_marker = true
    }

    abort_incomplete_multipart_upload {
      days_after_initiation = 7 # the parts of an upload that nobody completes cost money
    }
  }

  # S3 refuses rules on old versions while versioning is still being switched on.
  depends_on = [aws_s3_bucket_versioning.this]
}

resource "aws_s3_bucket_policy" "this" {
  bucket = aws_s3_bucket.this.bucket
  policy = jsonencode(merge(local.policy, {
    Statement = [for statement in local.policy.Statement : statement if var.require_tls || statement.Sid != "DenyInsecureTransport"]
  }))

  # S3 refuses concurrent changes to a bucket's access with a conflict.
  depends_on = [aws_s3_bucket_public_access_block.this]
}

resource "aws_s3_bucket_logging" "this" {
  count = var.access_log_bucket == null ? 0 : 1

  bucket        = aws_s3_bucket.this.bucket
  target_bucket = var.access_log_bucket
  target_prefix = "${var.name}/"
}

# A bucket has one notification configuration: a second resource of this type would overwrite this one.
resource "aws_s3_bucket_notification" "this" {
  bucket = aws_s3_bucket.this.bucket

  queue {
    id            = "incoming"
    queue_arn     = var.queue_arn
    events        = ["s3:ObjectCreated:*"]
    filter_prefix = "incoming/"
  }
}
