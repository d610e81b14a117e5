# Roles for .github/workflows/deploy.yml. AWS trusts the OpenID Connect token of the workflow, so no access key is stored.
# Apply this once by hand, with credentials that may create roles. See docs/deployment.md.

locals {
  account   = data.aws_caller_identity.current.account_id
  partition = data.aws_partition.current.partition
  issuer    = "token.actions.githubusercontent.com"
  provider  = var.provider_exists ? data.aws_iam_openid_connect_provider.github[0].arn : aws_iam_openid_connect_provider.github[0].arn
  state     = "arn:${local.partition}:s3:::${var.name}-state-${local.account}" # made by `make tf-state`
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

# --- Who may assume which role. For the subjects see GitHub, "About security hardening with OpenID Connect". -----------

data "aws_iam_policy_document" "trust_plan" {
  statement {
    actions = ["sts:AssumeRoleWithWebIdentity"]
    principals {
      type        = "Federated"
      identifiers = [local.provider]
    }
    condition {
      test     = "StringEquals"
      variable = "${local.issuer}:aud"
      values   = ["sts.amazonaws.com"]
    }
    condition {
      test     = "StringEquals"
      variable = "${local.issuer}:sub"
      values   = ["repo:${var.repository}:pull_request"]
    }
  }
}

data "aws_iam_policy_document" "trust_deploy" {
  for_each = var.environments

  statement {
    actions = ["sts:AssumeRoleWithWebIdentity"]
    principals {
      type        = "Federated"
      identifiers = [local.provider]
    }
    condition {
      test     = "StringEquals"
      variable = "${local.issuer}:aud"
      values   = ["sts.amazonaws.com"]
    }
    # Only a job of this environment, which starts after a reviewer of the environment has approved it.
    condition {
      test     = "StringEquals"
      variable = "${local.issuer}:sub"
      values   = ["repo:${var.repository}:environment:${each.key}"]
    }
  }
}

# --- Read and write the state and its lock (Terraform documentation, S3 backend, permissions required) ----------------

data "aws_iam_policy_document" "state" {
  statement {
    actions   = ["s3:ListBucket"]
    resources = [local.state]
  }
  statement {
    actions   = ["s3:GetObject"]
    resources = ["${local.state}/*"]
  }
  statement {
    actions   = ["s3:PutObject", "s3:DeleteObject"]
    resources = ["${local.state}/*.tflock"]
  }
}

data "aws_iam_policy_document" "state_write" {
  statement {
    actions   = ["s3:PutObject"]
    resources = ["${local.state}/*"]
  }
}

# --- Plan: reads the configuration of all resources, but no data of partners or customers -----------------------------

resource "aws_iam_role" "plan" {
  name                 = "${var.name}-plan"
  assume_role_policy   = data.aws_iam_policy_document.trust_plan.json
  max_session_duration = 3600
}

resource "aws_iam_role_policy_attachment" "plan" {
  role       = aws_iam_role.plan.name
  policy_arn = "arn:${local.partition}:iam::aws:policy/ReadOnlyAccess"
}

data "aws_iam_policy_document" "no_data" {
  source_policy_documents = [data.aws_iam_policy_document.state.json]

  statement {
    effect  = "Deny"
    actions = ["s3:GetObject", "s3:GetObjectVersion"]
    # The code of the job for large days is compared with what is built; it is no data.
    not_resources = ["${local.state}/*", "arn:${local.partition}:s3:::${var.name}-*/code/*"]
  }
  statement {
    effect = "Deny"
    actions = [
      "dynamodb:BatchGetItem", "dynamodb:GetItem", "dynamodb:GetRecords", "dynamodb:PartiQLSelect", "dynamodb:Query",
      "dynamodb:Scan", "logs:FilterLogEvents", "logs:GetLogEvents", "logs:StartQuery", "sqs:ReceiveMessage",
      "states:GetExecutionHistory",
    ]
    resources = ["*"]
  }
}

resource "aws_iam_role_policy" "plan" {
  name   = "state-and-no-data"
  role   = aws_iam_role.plan.id
  policy = data.aws_iam_policy_document.no_data.json
}

# --- Deploy: every action on the resources that have the product's name, and on no others -----------------------------

data "aws_iam_policy_document" "deploy" {
  for_each                = var.environments
  source_policy_documents = [data.aws_iam_policy_document.state.json, data.aws_iam_policy_document.state_write.json]

  statement {
    sid = "Named"
    actions = [
      "cloudwatch:*", "dynamodb:*", "events:*", "glue:*", "lambda:*", "logs:*", "s3:*", "sns:*", "sqs:*", "states:*",
    ]
    resources = [
      "arn:${local.partition}:cloudwatch:${var.region}:${local.account}:alarm:${var.name}-${each.key}*",
      "arn:${local.partition}:cloudwatch::${local.account}:dashboard/${var.name}-${each.key}*",
      "arn:${local.partition}:dynamodb:${var.region}:${local.account}:table/${var.name}-${each.key}*",
      "arn:${local.partition}:events:${var.region}:${local.account}:rule/${var.name}-${each.key}*",
      "arn:${local.partition}:glue:${var.region}:${local.account}:job/${var.name}-${each.key}*",
      "arn:${local.partition}:lambda:${var.region}:${local.account}:function:${var.name}-${each.key}*",
      "arn:${local.partition}:logs:${var.region}:${local.account}:log-group:*${var.name}-${each.key}*",
      "arn:${local.partition}:s3:::${var.name}-${each.key}-*",
      "arn:${local.partition}:sns:${var.region}:${local.account}:${var.name}-${each.key}*",
      "arn:${local.partition}:sqs:${var.region}:${local.account}:${var.name}-${each.key}*",
      "arn:${local.partition}:states:${var.region}:${local.account}:*:${var.name}-${each.key}*",
    ]
  }
  statement {
    sid = "Roles"
    actions = [
      "iam:AttachRolePolicy", "iam:CreateRole", "iam:DeleteRole", "iam:DeleteRolePolicy", "iam:DetachRolePolicy",
      "iam:GetRole", "iam:GetRolePolicy", "iam:ListAttachedRolePolicies", "iam:ListInstanceProfilesForRole",
      "iam:ListRolePolicies", "iam:ListRoleTags", "iam:PutRolePolicy", "iam:TagRole", "iam:UntagRole",
      "iam:UpdateAssumeRolePolicy", "iam:UpdateRole", "iam:UpdateRoleDescription",
    ]
    resources = ["arn:${local.partition}:iam::${local.account}:role/${var.name}-${each.key}*"]
  }
  statement {
    sid = "PartnerUser"
    actions = [
      "iam:CreateUser", "iam:DeleteUser", "iam:DeleteUserPolicy", "iam:GetUser", "iam:GetUserPolicy",
      "iam:ListAttachedUserPolicies", "iam:ListGroupsForUser", "iam:ListUserPolicies", "iam:ListUserTags",
      "iam:PutUserPolicy", "iam:TagUser", "iam:UntagUser", "iam:UpdateUser",
    ]
    resources = ["arn:${local.partition}:iam::${local.account}:user/${var.name}-${each.key}*"]
  }
  statement {
    sid       = "PassRoles"
    actions   = ["iam:PassRole"]
    resources = ["arn:${local.partition}:iam::${local.account}:role/${var.name}-${each.key}*"]
    condition {
      test     = "StringEquals"
      variable = "iam:PassedToService"
      values   = ["events.amazonaws.com", "glue.amazonaws.com", "lambda.amazonaws.com", "states.amazonaws.com"]
    }
  }
  # These actions have no resource type, or create a resource whose ARN is not known before (service authorization reference).
  statement {
    sid = "Unnamed"
    actions = [
      "cloudwatch:DescribeAlarms", "cloudwatch:ListTagsForResource", "ec2:*SecurityGroup*", "ec2:*Subnet*", "ec2:*Tags",
      "ec2:*Vpc*", "ec2:*RouteTable*", "ec2:DescribeAvailabilityZones", "ec2:DescribeNetworkInterfaces",
      "ec2:DescribePrefixLists", "glue:CreateSecurityConfiguration", "glue:DeleteSecurityConfiguration",
      "glue:GetSecurityConfiguration", "kms:CreateAlias", "kms:CreateKey", "kms:DescribeKey", "kms:ListAliases", "kms:TagResource",
      "lambda:CreateEventSourceMapping", "lambda:DeleteEventSourceMapping", "lambda:GetEventSourceMapping",
      "lambda:ListEventSourceMappings", "lambda:ListTags", "lambda:TagResource", "lambda:UpdateEventSourceMapping",
      "logs:CreateLogDelivery", "logs:DeleteLogDelivery", "logs:DescribeLogGroups", "logs:DescribeResourcePolicies",
      "logs:GetLogDelivery", "logs:ListLogDeliveries", "logs:PutResourcePolicy", "logs:UpdateLogDelivery",
      "states:ListStateMachines", "states:ValidateStateMachineDefinition", "sts:GetCallerIdentity",
    ]
    resources = ["*"]
  }
  statement {
    sid       = "Keys"
    actions   = ["kms:*"]
    resources = ["arn:${local.partition}:kms:${var.region}:${local.account}:key/*"]
    condition {
      test     = "StringEquals"
      variable = "aws:ResourceTag/application"
      values   = [var.name]
    }
  }
}

resource "aws_iam_role" "deploy" {
  for_each             = var.environments
  name                 = "deploy-${var.name}-${each.key}" # begins with `deploy-`, so that the role may not change itself
  assume_role_policy   = data.aws_iam_policy_document.trust_deploy[each.key].json
  max_session_duration = 3600
}

resource "aws_iam_role_policy" "deploy" {
  for_each = var.environments
  name     = "deploy"
  role     = aws_iam_role.deploy[each.key].id
  policy   = data.aws_iam_policy_document.deploy[each.key].json
}
