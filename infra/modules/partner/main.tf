# The partner's access: a role that the partner's account may assume, an IAM user for a partner without an account, or both.
# Either may store files under incoming/ and, if the policies allow it, read feedback/. Neither may read, list or delete
# what was sent.

resource "aws_iam_role" "this" {
  count = var.account_id == null ? 0 : 1

  name                 = var.name
  description          = "Taken by the partner's account ${var.account_id} to store files"
  max_session_duration = 3600
  assume_role_policy = templatefile("${path.module}/trust.json.tftpl", {
    account_arn = "arn:${var.partition}:iam::${var.account_id}:root"
    external_id = var.external_id
  })
}

resource "aws_iam_role_policy" "this" {
  for_each = var.account_id == null ? {} : var.policies

  name   = each.key
  role   = aws_iam_role.this[0].name
  policy = each.value
}

resource "aws_iam_user" "this" {
  #checkov:skip=CKV_AWS_273:only on demand, for a partner without an account; the role is the better way
  count = var.user ? 1 : 0

  name          = var.name
  force_destroy = true # its access keys are created outside Terraform, whose state would contain them
}

resource "aws_iam_user_policy" "this" {
  #checkov:skip=CKV_AWS_40:a group of one member would hide who may do it
  for_each = var.user ? var.policies : {}

  name   = each.key
  user   = aws_iam_user.this[0].name
  policy = each.value
}
