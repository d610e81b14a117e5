# The table of results, errors and the ledger of the batches, with the keys pk and sk. Its stream sends the changes to publish.

resource "aws_dynamodb_table" "this" {
  name                        = var.name
  billing_mode                = "PAY_PER_REQUEST" # one burst a day, so provisioned capacity would be idle most of the time
  hash_key                    = "pk"
  range_key                   = "sk"
  deletion_protection_enabled = var.deletion_protection

  # Both images are needed: a message is sent only if they differ, and a deleted item has only the old one.
  stream_enabled   = true
  stream_view_type = "NEW_AND_OLD_IMAGES"

  attribute {
    name = "pk"
    type = "S"
  }

  attribute {
    name = "sk"
    type = "S"
  }

  point_in_time_recovery {
    enabled = true
  }

  server_side_encryption {
    enabled     = true # with the AWS managed key aws/dynamodb, or the given one
    kms_key_arn = one(var.kms_key[*].arn)
  }

  # Items without this attribute are kept.
  ttl {
    enabled        = true
    attribute_name = "expires_at"
  }
}
