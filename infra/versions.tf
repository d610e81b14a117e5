terraform {
  # 1.10: validations and preconditions that look at other variables, S3 state locking without a lock table.
  required_version = ">= 1.10"

  required_providers {
    aws = {
      source = "hashicorp/aws"
      # Exactly the version whose schema `make lint-terraform` checks: no lock file is kept, as its checksums come from the
      # registry and are those of one platform. The README says how to lock them as well.
      version = "6.62.0"
    }
  }
}

provider "aws" {
  region = var.region

  default_tags {
    tags = local.tags
  }
}
