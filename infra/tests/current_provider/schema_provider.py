"""A stand-in for hashicorp/aws 6.62 that knows nothing but its schema, for a machine that cannot reach the registry.

It serves `aws_6.62_schema.json` to Terraform over the plugin protocol (version 6), so `terraform validate` and
`terraform plan` hold every resource type, argument, nested block, reference and expression of an unmodified
configuration against the current provider. It creates nothing and knows no semantics: a value that only AWS could
compute is unknown in the plan, but for those in `MADE_UP`, without which no test could read the policies naming them.

`aws_glue_job` and `aws_glue_security_configuration` were added to the schema from the provider's own source
(`internal/service/glue/job.go`, `security_configuration.go`) and, for arguments that are newer than the source at hand
(`job_mode`, `job_run_queuing_enabled`, `region`, `source_control_details`), from what Pulumi generates from it
(pub.dev, package pulumi_aws, "JobArgs class"). The fields inside `source_control_details` are those of the Glue API.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from concurrent import futures
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import msgpack
from tf.gen import tfplugin_pb2 as messages
from tf.gen import tfplugin_pb2_grpc as service

SCHEMA_FILE = Path(__file__).with_name("aws_6.62_schema.json")
VERSION = "6.62"
PROVIDER = "registry.terraform.io/hashicorp/aws"
UNKNOWN = msgpack.ExtType(0, b"")

PROVIDER_BLOCK = {
    "attributes": {"region": {"type": "string", "optional": True}},
    "block_types": {
        "default_tags": {
            "nesting_mode": "list",
            "max_items": 1,
            "block": {"attributes": {"tags": {"type": ["map", "string"], "optional": True}}},
        }
    },
}
"""What our configurations set of the provider itself, whose schema is not in the file."""

ACCOUNT = "123456789012"
REGION = "eu-west-1"
DATA: Mapping[str, Mapping[str, str]] = {
    "aws_caller_identity": {
        "account_id": ACCOUNT,
        "arn": f"arn:aws:iam::{ACCOUNT}:user/check",
        "user_id": "check",
        "id": ACCOUNT,
    },
    "aws_region": {"name": REGION, "region": REGION, "id": REGION, "description": "Europe (Ireland)"},
    "aws_partition": {
        "partition": "aws",
        "dns_suffix": "amazonaws.com",
        "reverse_dns_prefix": "com.amazonaws",
        "id": "aws",
    },
    "aws_iam_openid_connect_provider": {
        "arn": f"arn:aws:iam::{ACCOUNT}:oidc-provider/token.actions.githubusercontent.com"
    },
}
"""What the data sources say that a plan without an account needs."""

MADE_UP: Mapping[str, Mapping[str, str]] = {
    "aws_cloudwatch_log_group": {"arn": f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{{name}}"},
    "aws_dynamodb_table": {
        "stream_arn": f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/{{name}}/stream/2026-01-01T00:00:00"
    },
    "aws_iam_openid_connect_provider": {
        "arn": f"arn:aws:iam::{ACCOUNT}:oidc-provider/token.actions.githubusercontent.com"
    },
    "aws_iam_role": {"arn": f"arn:aws:iam::{ACCOUNT}:role/{{name}}"},
    "aws_kms_key": {"arn": f"arn:aws:kms:{REGION}:{ACCOUNT}:key/01234567-89ab-cdef-0123-456789abcdef"},
    "aws_sns_topic": {"arn": f"arn:aws:sns:{REGION}:{ACCOUNT}:{{name}}"},
    "aws_sqs_queue": {
        "arn": f"arn:aws:sqs:{REGION}:{ACCOUNT}:{{name}}",
        "id": f"https://sqs.{REGION}.amazonaws.com/{ACCOUNT}/{{name}}",
    },
}
"""What AWS makes of a resource's name."""

_MODES = {"single": 1, "list": 2, "set": 3, "map": 4}


def _to_block(block: Mapping[str, Any], *, top: bool) -> messages.Schema.Block:
    attributes = []
    for name, given in sorted(block.get("attributes", {}).items()):
        required = bool(given.get("required"))
        # AWS may fill in an optional argument, too; the schema at hand does not say which, so it may be any.
        computed = bool(given.get("computed")) or (top and not required)
        attributes.append(
            messages.Schema.Attribute(
                name=name,
                type=json.dumps(given["type"]).encode(),
                required=required,
                optional=not required and not (given.get("computed") and not given.get("optional")),
                computed=computed and not required,
            )
        )
    nested = []
    for name, given in sorted(block.get("block_types", {}).items()):
        single = name == "timeouts"
        mode = "single" if single else given["nesting_mode"].replace("single", "list")
        nested.append(
            messages.Schema.NestedBlock(
                type_name=name,
                nesting=_MODES[mode],
                block=_to_block(given["block"], top=False),
                min_items=0 if single else given.get("min_items", 0),
                max_items=0 if single else given.get("max_items", 0),
            )
        )
    return messages.Schema.Block(attributes=attributes, block_types=nested)


def _schemas(found: Mapping[str, Any]) -> dict[str, messages.Schema]:
    return {name: messages.Schema(version=0, block=_to_block(one["block"], top=True)) for name, one in found.items()}


def _unpack(value: messages.DynamicValue) -> Any:
    if not value.msgpack:
        return None
    return msgpack.unpackb(value.msgpack, raw=False, strict_map_key=False, ext_hook=lambda *_: UNKNOWN)


def _pack(value: Any) -> messages.DynamicValue:
    return messages.DynamicValue(msgpack=msgpack.packb(value, use_bin_type=True))


class SchemaProvider(service.ProviderServicer):  # type: ignore[misc]  # generated code without types
    """Answers what Terraform asks for a plan; it does not have the calls that change something."""

    def __init__(self) -> None:
        schema = json.loads(SCHEMA_FILE.read_text())
        self._resources = schema["resource_schemas"]
        self._data = schema["data_source_schemas"]

    def GetProviderSchema(self, request: Any, context: Any) -> Any:  # noqa: N802 (the protocol's names, to the end)
        return messages.GetProviderSchema.Response(
            provider=messages.Schema(version=0, block=_to_block(PROVIDER_BLOCK, top=False)),
            resource_schemas=_schemas(self._resources),
            data_source_schemas=_schemas(self._data),
        )

    def PlanResourceChange(self, request: Any, context: Any) -> Any:  # noqa: N802
        proposed, prior = _unpack(request.proposed_new_state), _unpack(request.prior_state)
        if proposed is not None and prior is None:
            for name, made_up in MADE_UP.get(request.type_name, {}).items():
                proposed[name] = made_up.format(name=proposed.get("name"))
            for name, given in self._resources[request.type_name]["block"]["attributes"].items():
                if proposed.get(name) is None and not given.get("required"):
                    proposed[name] = UNKNOWN
        return messages.PlanResourceChange.Response(planned_state=_pack(proposed), legacy_type_system=True)

    def ReadDataSource(self, request: Any, context: Any) -> Any:  # noqa: N802
        state, known = _unpack(request.config), DATA[request.type_name]
        for name in self._data[request.type_name]["block"]["attributes"]:
            if state.get(name) is None:
                state[name] = known.get(name)
        return messages.ReadDataSource.Response(state=_pack(state))


def _agree(call: str) -> Any:
    return lambda _provider, _request, _context: getattr(messages, call).Response()


for _call in ("Provider", "Resource", "DataResource"):
    setattr(SchemaProvider, f"Validate{_call}Config", _agree(f"Validate{_call}Config"))
SchemaProvider.ConfigureProvider = _agree("ConfigureProvider")


@contextmanager
def serve() -> Iterator[dict[str, str]]:
    """Serve on a free port of the loopback; gives the environment variables with which Terraform uses it."""
    server = grpc.server(futures.ThreadPoolExecutor(8), options=[("grpc.max_send_message_length", 64 << 20)])
    service.add_ProviderServicer_to_server(SchemaProvider(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    address = {"Network": "tcp", "String": f"127.0.0.1:{port}"}
    reattach = {"Protocol": "grpc", "ProtocolVersion": 6, "Pid": os.getpid(), "Test": True, "Addr": address}
    try:
        yield {"TF_REATTACH_PROVIDERS": json.dumps({PROVIDER: reattach})}
    finally:
        server.stop(0)
