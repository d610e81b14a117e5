"""The partner's credentials: an access key of its IAM user."""

from __future__ import annotations

from pipeline_cli.terraform.target import Target


def environment(target: Target, user: str) -> dict[str, str]:
    """Replace the access keys of the partner's user by a new one; return the environment variables for AWS clients."""
    iam = target.client("iam")
    for old in iam.list_access_keys(UserName=user)["AccessKeyMetadata"]:
        iam.delete_access_key(UserName=user, AccessKeyId=old["AccessKeyId"])
    key = iam.create_access_key(UserName=user)["AccessKey"]
    return {
        "AWS_ACCESS_KEY_ID": key["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"],
        "AWS_DEFAULT_REGION": target.region,
        **({"AWS_ENDPOINT_URL": target.endpoint_url} if target.endpoint_url else {}),
    }
