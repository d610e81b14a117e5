from __future__ import annotations

from scripts.tests.support import Run, Stack


def test_partner_credentials_are_the_only_key_of_the_partners_user(stack: Stack, run: Run) -> None:
    iam = stack.client("iam")
    iam.create_user(UserName="partner")
    stack.target.outputs["partner_user_name"] = "partner"

    first = run("local", "partner-credentials").stdout
    printed = run("local", "partner-credentials").stdout

    (key,) = iam.list_access_keys(UserName="partner")["AccessKeyMetadata"]
    assert key["AccessKeyId"] not in first
    assert f"export AWS_ACCESS_KEY_ID={key['AccessKeyId']}\n" in printed
    assert f"export AWS_ENDPOINT_URL={stack.target.endpoint_url}\n" in printed
    assert f"export BUCKET={stack.bucket.name}\n" in printed


def test_without_a_partners_user_one_sentence_says_what_to_do(stack: Stack, run: Run) -> None:
    result = run("local", "partner-credentials")

    assert result.exit_code == 1
    assert "partner = { user = true }" in result.stderr
