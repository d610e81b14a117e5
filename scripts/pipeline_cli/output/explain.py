"""Explain expected failures in a sentence."""

from __future__ import annotations

import errno
import os
import sys
from typing import TYPE_CHECKING

from pipeline.errors import PipelineError, ResourceLimitError

from pipeline_cli.output.errors import CommandError, UsageError

if TYPE_CHECKING:
    from botocore.exceptions import ClientError

NO_CREDENTIALS = "ExpiredToken", "ExpiredTokenException", "InvalidClientTokenId", "UnrecognizedClientException"
NO_ROOM = errno.ENOSPC, errno.EDQUOT, errno.EFBIG
MORE_ROOM = "--memory gives it more memory (in MB), the variable TMPDIR another disk."
NOT_THERE = "NoSuchBucket", "ResourceNotFoundException", "QueueDoesNotExist", "StateMachineDoesNotExist"


def explain(error: Exception, env: str = "") -> CommandError | None:
    """Return an expected failure as a sentence and what to do about it; None for a bug."""
    env = env or os.environ.get("ENV", "")
    where = f" ENV={env}" if env not in ("", "local") else ""
    match error:
        case CommandError():
            return error
        case ResourceLimitError():
            return CommandError(f"{error}.", MORE_ROOM)
        case MemoryError():
            return CommandError("This machine has no memory left.", MORE_ROOM)
        case PipelineError():
            return CommandError(f"{type(error).__name__}: {error}.")
        case OSError() if error.errno in NO_ROOM:
            where = error.filename or "A disk"
            return CommandError(f"{where} has no room left: {error.strerror}.", "TMPDIR names another folder.")
        case FileNotFoundError() | PermissionError() | IsADirectoryError() | NotADirectoryError():
            return UsageError(f"{error.filename}: {error.strerror}.")
    # The SDK takes half a second to import, and csv-check is installed without it.
    return _explain_aws(error, where) if "botocore.exceptions" in sys.modules else None


def _explain_aws(error: Exception, where: str) -> CommandError | None:
    import botocore.exceptions as aws

    match error:
        case aws.NoCredentialsError() | aws.PartialCredentialsError() | aws.CredentialRetrievalError():
            return CommandError("There are no AWS credentials.", "Sign in (aws sso login) or set AWS_PROFILE.")
        case aws.ProfileNotFound() | aws.NoRegionError() | aws.TokenRetrievalError() | aws.SSOError():
            return CommandError(f"{error}.".replace("..", "."), "Check AWS_PROFILE and sign in again (aws sso login).")
        case aws.EndpointConnectionError() | aws.ConnectTimeoutError() | aws.ConnectionClosedError():
            hint = "Check the network." if where else "Is it up? make tf-apply starts what is missing."
            return CommandError(f"{error}".rstrip(".") + ".", hint)
        case aws.ClientError():
            return _explain_reply(error, where)
        case aws.BotoCoreError():
            return CommandError(f"{type(error).__name__}: {error}.")
    return None


def _explain_reply(error: ClientError, where: str) -> CommandError:
    code = str(error.response.get("Error", {}).get("Code", ""))
    if code in NO_CREDENTIALS:
        return CommandError("The AWS credentials are not valid (any more).", "Sign in again (aws sso login).")
    if code.removeprefix("AWS.SimpleQueueService.").replace("NonExistentQueue", "QueueDoesNotExist") in NOT_THERE:
        return CommandError(f"{error}.".replace("..", "."), f"Is the stack applied? make tf-apply{where}")
    return CommandError(f"{error}.".replace("..", "."))
