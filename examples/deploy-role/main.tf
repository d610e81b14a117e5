# Roles for .github/workflows/deploy.yml. AWS trusts the OpenID Connect token of the workflow, so no access key is stored.
# Apply this once by hand, with credentials that may create roles. See docs/deployment.md.

locals {
  issuer       = "token.actions.githubusercontent.com"
  provider_arn = one(concat(data.aws_iam_openid_connect_provider.github[*].arn, aws_iam_openid_connect_provider.github[*].arn))

  # What the subject of a token begins with: GitHub's documentation, "OpenID Connect reference", section "Immutable subject
  # claims": repositories created, renamed or moved since July 2026 have the ids of owner and repository in it.
  parts = split("/", var.repository)
  repositories = concat(
    ["repo:${var.repository}"],
    [for ids in var.repository_ids[*] : "repo:${local.parts[0]}@${ids.owner}/${local.parts[1]}@${ids.repository}"],
  )

  values = {
    account   = data.aws_caller_identity.current.account_id
    partition = data.aws_partition.current.partition
    region    = var.region
    name      = var.name
    state_arn = "arn:${data.aws_partition.current.partition}:s3:::${var.name}-state-${data.aws_caller_identity.current.account_id}" # made by `make tf-state`
  }
}

data "aws_caller_identity" "current" {}

data "aws_partition" "current" {}

data "aws_iam_openid_connect_provider" "github" {
  count = var.provider_exists ? 1 : 0
  url   = "https://${local.issuer}"
}

resource "aws_iam_openid_connect_provider" "github" {
  count          = var.provider_exists ? 0 : 1
  url            = "https://${local.issuer}"
  client_id_list = ["sts.amazonaws.com"]
}

# --- Plan: reads the configuration of all resources, but no data of partners or consumers -----------------------------

resource "aws_iam_role" "plan" {
  name                 = "${var.name}-plan"
  max_session_duration = 3600
  assume_role_policy = templatefile("${path.module}/trust.json.tftpl", {
    provider_arn = local.provider_arn
    issuer       = local.issuer
    subjects     = jsonencode([for repository in local.repositories : "${repository}:pull_request"])
  })
}

resource "aws_iam_role_policy_attachment" "plan" {
  role       = aws_iam_role.plan.name
  policy_arn = "arn:${local.values.partition}:iam::aws:policy/ReadOnlyAccess"
}

resource "aws_iam_role_policy" "plan" {
  for_each = toset(["plan", "state"])

  name   = each.key
  role   = aws_iam_role.plan.name
  policy = templatefile("${path.module}/${each.key}.json.tftpl", local.values)
}

# --- Deploy: every action on the resources that have the deployment's names, and on no others -------------------------

resource "aws_iam_role" "deploy" {
  for_each = var.environments

  name                 = "deploy-${var.name}-${each.key}" # begins with `deploy-`, so that the role may not change itself
  max_session_duration = 3600
  # Only a job of this environment, which starts after a reviewer of the environment has approved it.
  assume_role_policy = templatefile("${path.module}/trust.json.tftpl", {
    provider_arn = local.provider_arn
    issuer       = local.issuer
    subjects     = jsonencode([for repository in local.repositories : "${repository}:environment:${each.key}"])
  })
}

resource "aws_iam_role_policy" "deploy" {
  for_each = var.environments

  name = "deploy"
  role = aws_iam_role.deploy[each.key].name
  policy = templatefile("${path.module}/deploy.json.tftpl", merge(local.values, {
    environment = each.key
    prefix      = "${var.name}-${each.key}"
  }))
}

# For the permissions see the Terraform documentation, S3 backend, permissions required.
resource "aws_iam_role_policy" "deploy_state" {
  for_each = var.environments

  name   = "state"
  role   = aws_iam_role.deploy[each.key].name
  policy = templatefile("${path.module}/state.json.tftpl", local.values)
}
