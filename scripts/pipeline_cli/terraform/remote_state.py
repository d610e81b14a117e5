"""Keep an environment's Terraform state in S3, where everyone who deploys it shares it: `make tf-state ENV=prod`.

The bucket can't be part of the configuration whose state it holds, so this module creates it. The file
`infra/env/<name>.s3.tfbackend` says that the state is in S3: with it, every later command finds the state. Terraform
locks the state with an object beside it.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from string import Template
from typing import Any

from pipeline_cli.output.errors import CommandError
from pipeline_cli.terraform.account_stack import AccountStack
from pipeline_cli.terraform.target import Target

OLD_STATE_DAYS = 365
BACKEND = """# Where Terraform keeps the state of {env}. Made by `make tf-state ENV={env}`; keep it in git.
bucket       = "{bucket}"
key          = "{key}"
region       = "{region}"
encrypt      = true
use_lockfile = true
"""
TLS_ONLY = """{"Version": "2012-10-17", "Statement": [{
  "Sid": "DenyInsecureTransport", "Effect": "Deny", "Principal": "*", "Action": "s3:*",
  "Resource": ["arn:$partition:s3:::$bucket", "arn:$partition:s3:::$bucket/*"],
  "Condition": {"Bool": {"aws:SecureTransport": "false"}}
}]}"""
OLD_STATES = {
    "ID": "old-states",
    "Status": "Enabled",
    "Filter": {},
    "NoncurrentVersionExpiration": {"NoncurrentDays": OLD_STATE_DAYS},
}


def bootstrap(target: Target, name: str) -> str:
    """Create the bucket for the state, or finish an interrupted creation; return its name.

    The bucket is private, versioned (a damaged state can be restored), encrypted and reachable over TLS only. One
    bucket serves all environments of an account. `name` is the value of the Terraform variable.
    """
    caller = target.client("sts").get_caller_identity()
    bucket = f"{name}-state-{caller['Account']}"
    s3 = target.client("s3")
    _create(s3, bucket, target.region)
    blocks = ("BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets")
    s3.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration=dict.fromkeys(blocks, True))
    owner = {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
    s3.put_bucket_ownership_controls(Bucket=bucket, OwnershipControls=owner)
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    encrypted = {"Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]}
    s3.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration=encrypted)
    s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": [OLD_STATES]})
    partition = caller["Arn"].split(":")[1]
    s3.put_bucket_policy(Bucket=bucket, Policy=Template(TLS_ONLY).substitute(partition=partition, bucket=bucket))
    return bucket


def _create(s3: Any, bucket: str, region: str) -> None:
    # S3 refuses us-east-1 as a LocationConstraint. There, creating a bucket that we own already is not an error.
    place = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
    with suppress(s3.exceptions.BucketAlreadyOwnedByYou):
        try:
            s3.create_bucket(Bucket=bucket, **place)
        except s3.exceptions.BucketAlreadyExists:
            raise CommandError(
                f"The bucket {bucket} belongs to another account.", "Choose another name in infra/env/: name = ..."
            ) from None


def write_backend(stack: AccountStack, bucket: str, name: str, region: str) -> Path:
    """Write the file that names the bucket of the environment's state."""
    file = stack.backend_file
    file.write_text(BACKEND.format(env=stack.name, bucket=bucket, key=f"{name}.tfstate", region=region))
    return file
