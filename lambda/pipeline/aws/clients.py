"""boto3 clients with the settings of all functions: pooled connections, short timeouts, standard retries."""

from __future__ import annotations

import functools
from typing import Any

import boto3
from botocore.config import Config

MAX_CONNECTIONS = 32

CONFIG = Config(
    connect_timeout=5,
    read_timeout=60,
    retries={"mode": "standard", "total_max_attempts": 5},
    max_pool_connections=MAX_CONNECTIONS,
    tcp_keepalive=True,
    # The services validate requests anyway, and the SDK's validation takes a quarter of the time of bulk calls.
    parameter_validation=False,
)


@functools.cache
def client(service: str) -> Any:
    """Return the client of a service. There is one per process, as clients can be shared between threads."""
    return boto3.client(service, config=CONFIG)  # type: ignore[call-overload]  # any service


def error_code(error: Exception) -> str:
    """Return the service's error code of a `ClientError`, such as `NoSuchKey`."""
    response: dict[str, Any] = getattr(error, "response", {})
    return str(response.get("Error", {}).get("Code", ""))
