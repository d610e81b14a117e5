"""What delivering an item costs the client: the product's way against boto3's, and whether anything gets lost on it.

The cost is measured against nginx on loopback, which answers all calls alike, at once or after 5 or 50 ms. Each way
runs in a process of its own on the same items, after a round that warms it up; of its repeats, the one with the least
processor time counts. Loss is measured against a sink that remembers what it accepted, and that refuses, errs, takes
parts and drops connections.

Example:
    python -m benchmarks delivery --quick
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from pipeline.aws import bodies, clients
from pipeline.aws.backoff import within
from pipeline.aws.dynamodb import BATCH_ITEMS, Table
from pipeline.aws.parallel import CALLERS
from pipeline.aws.sqs import BATCH_ENTRIES, Outgoing, Queue
from pipeline.errors import ThrottledError
from pipeline.model.items import put_line
from pipeline.model.messages import Message, message_for
from pipeline_cli.local.emulator import free_port

from benchmarks.document import table
from benchmarks.results import ROOT, Result
from benchmarks.sink import Sink, sent_entry

ENTRIES = {"dynamodb": BATCH_ITEMS, "sqs": BATCH_ENTRIES}
"""Items that a call carries, by service."""
LATENCIES_MS = (0, 5, 50)
FAULT_RATE = 0.2
TABLE_NAME = "results"
QUEUE_URL = "https://sqs.eu-west-1.amazonaws.com/123456789012/output.fifo"
SECONDS = 600
BATCH = "20220131"
VERSION = "0123456789abcdef"

_NGINX = "nginx with its echo module is missing; install it with: apt-get install nginx-light libnginx-mod-http-echo"
_ECHO_MODULES = (
    Path("/usr/lib/nginx/modules/ngx_http_echo_module.so"),
    Path("/usr/lib64/nginx/modules/ngx_http_echo_module.so"),
)


@dataclass(frozen=True, slots=True)
class Run:
    """One run of one way."""

    items: int
    cpu_seconds: float
    seconds: float
    connections: int


# --- The ways ---------------------------------------------------------------------------------------------------------


Preparation = Callable[[Path], Callable[[], None]]
"""Gets ready to deliver what lies at a path; delivering it, which is what is measured, is the function it returns."""


@dataclass(frozen=True, slots=True)
class Way:
    """A way to deliver: what it is called, and how it goes for each service."""

    name: str
    prepare: dict[str, Preparation]


def sdk(threads: int, validation: bool = True, parsed: bool = False) -> dict[str, Preparation]:
    """Deliver as one writes it with boto3: its own configuration, dictionaries, and again what a call leaves.

    `parsed` takes the parsing of the chunk file out of what is measured.
    """
    config = Config() if validation else Config(parameter_validation=False)

    def dynamodb(path: Path) -> Callable[[], None]:
        client = boto3.client("dynamodb", config=config)

        def write(requests: list[Any]) -> None:
            todo = {TABLE_NAME: requests}
            while todo:
                todo = client.batch_write_item(RequestItems=todo).get("UnprocessedItems", {})

        def requests() -> list[Any]:
            with path.open(encoding="utf-8") as lines:
                return [json.loads(line) for line in lines]

        ready = requests() if parsed else None
        return lambda: _each(write, ready or requests(), BATCH_ITEMS, threads)

    def sqs(path: Path) -> Callable[[], None]:
        client = boto3.client("sqs", config=config)

        def send(messages: Sequence[Outgoing]) -> None:
            todo = [_entry(number, outgoing) for number, outgoing in enumerate(messages)]
            while todo:
                reply = client.send_message_batch(QueueUrl=QUEUE_URL, Entries=todo)
                failed = {entry["Id"] for entry in reply.get("Failed", ())}
                todo = [entry for entry in todo if entry["Id"] in failed]

        messages = read_messages(path)
        return lambda: _each(send, messages, BATCH_ENTRIES, threads)

    return {"dynamodb": dynamodb, "sqs": sqs}


def _each(call: Callable[[Any], None], things: Sequence[Any], size: int, threads: int) -> None:
    """Call for each group of so many things, one after the other or by threads."""
    groups = [things[start : start + size] for start in range(0, len(things), size)]
    if threads == 1:
        for group in groups:
            call(group)
    else:
        with ThreadPoolExecutor(threads) as pool:
            for _ in pool.map(call, groups):
                pass


def _entry(number: int, outgoing: Outgoing) -> Any:
    message = outgoing.message
    attributes = {"batch": message.batch, "version": outgoing.version, "message_id": message.id}
    return {
        "Id": str(number),
        "MessageBody": message.body,
        "MessageAttributes": {name: {"DataType": "String", "StringValue": text} for name, text in attributes.items()},
        "MessageGroupId": message.group,
        "MessageDeduplicationId": outgoing.deduplication_id,
    }


def our_table(path: Path) -> Callable[[], None]:
    """Deliver a chunk as the function deliver does, from its file on."""
    target = Table(TABLE_NAME)
    return lambda: _ensure(target.write(path.read_bytes().splitlines(), within(SECONDS)))


def our_queue(path: Path) -> Callable[[], None]:
    """Send messages as the function publish does, once it has put them into words."""
    target, messages = Queue(QUEUE_URL), read_messages(path)
    return lambda: _ensure(target.send(messages, within(SECONDS)).taken == len(messages))


def _ensure(done: object) -> None:
    if not done:
        raise RuntimeError("not everything was delivered")


def nothing(service: str, operation: str, **params: Any) -> Preparation:
    """Make calls with nothing in them, one after the other, by the product's client: what no body can go below."""

    def prepare(path: Path) -> Callable[[], None]:
        client = clients.client(service)
        bodies.write_bodies(client, operation, lambda _: b"{}")
        calls = len(path.read_bytes().splitlines()) // ENTRIES[service]
        call = getattr(client, {"dynamodb": "batch_write_item", "sqs": "send_message_batch"}[service])

        def run() -> None:
            for _ in range(calls):
                call(**params)

        return run

    return prepare


WAYS = {
    "default": Way(f"boto3, {CALLERS} threads", sdk(CALLERS)),
    "serial": Way("boto3, one call after the other", sdk(1)),
    "parsed": Way(f"boto3, {CALLERS} threads, chunk parsed before", sdk(CALLERS, parsed=True)),
    "unchecked": Way(f"boto3, {CALLERS} threads, no parameter validation", sdk(CALLERS, validation=False)),
    "ours": Way("the product", {"dynamodb": our_table, "sqs": our_queue}),
    "empty": Way(
        "the SDK with empty bodies, one call after the other",
        {
            "dynamodb": nothing("dynamodb", "BatchWriteItem", RequestItems={TABLE_NAME: []}),
            "sqs": nothing("sqs", "SendMessageBatch", QueueUrl=QUEUE_URL, Entries=[]),
        },
    ),
}


def run_way(way: str, service: str, path: Path, rounds: int) -> tuple[float, float]:
    """Deliver a chunk several times in this process; return the seconds of processor time and of the clock."""
    run = WAYS[way].prepare[service](path)
    run()
    start, cpu = time.perf_counter(), time.process_time()
    for _ in range(rounds):
        run()
    return time.process_time() - cpu, time.perf_counter() - start


# --- What is delivered ------------------------------------------------------------------------------------------------


def results(count: int) -> Iterator[dict[str, Any]]:
    """Make items of customers as transform does."""
    for number in range(count):
        reference = f"{number * 2654435761 % 2**32:08x}-11ed-cust"
        yield {
            "pk": f"customer#{reference}",
            "sk": f"batch#{BATCH}",
            "customer_reference": reference,
            "number_of_orders": 4,
            "total_amount_spent": number * 37 % 1000,
        }


def outgoing(count: int, groups: int) -> list[Outgoing]:
    """Make the messages of as many changes, of so many customers in turn."""
    made = []
    for number, item in enumerate(itertools.islice(itertools.cycle(results(groups)), count)):
        message = message_for({**item, "number_of_orders": number})
        if message is None:
            raise RuntimeError("a result has a message")
        made.append(Outgoing(message, f"{number:032x}", VERSION))
    return made


def write_chunk(service: str, path: Path, count: int) -> None:
    """Write what is to be delivered, one item a line."""
    if service == "dynamodb":
        lines = [put_line(item) for item in results(count)]
    else:
        lines = [json.dumps(asdict(one)) for one in outgoing(count, count)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def read_messages(path: Path) -> list[Outgoing]:
    """Read messages that `write_chunk` has written."""
    lines = map(json.loads, path.read_text(encoding="utf-8").splitlines())
    return [Outgoing(Message(**line["message"]), line["deduplication_id"], line["version"]) for line in lines]


# --- nginx ------------------------------------------------------------------------------------------------------------


@contextmanager
def nginx(directory: Path) -> Iterator[str]:
    """Run an nginx of our own on a free port, which answers `/<service>/<latency in ms>/`; yield its address."""
    program = shutil.which("nginx", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/usr/local/sbin")
    module = next((path for path in _ECHO_MODULES if path.exists()), None)
    if not (program and module):
        raise SystemExit(_NGINX)
    port = free_port()
    config = directory / "nginx.conf"
    config.write_text(_config(directory, port, module))
    process = subprocess.Popen([program, "-c", config, "-p", directory, "-e", "stderr"], stderr=subprocess.PIPE)
    address = f"http://127.0.0.1:{port}"
    try:
        _await(process, address)
        yield address
    finally:
        process.terminate()
        process.communicate()


def _config(directory: Path, port: int, module: Path) -> str:
    """Write nginx's configuration; a reply after a pause is a redirect within nginx, so that it states its length."""
    replies = {
        "dynamodb": json.dumps({"UnprocessedItems": {}}),
        "sqs": json.dumps({"Successful": [sent_entry(str(number)) for number in range(BATCH_ENTRIES)], "Failed": []}),
    }
    locations = []
    for service, reply in replies.items():
        checksum = f"add_header x-amz-crc32 {zlib.crc32(reply.encode())};"
        locations.append(f"location = /{service}/0/ {{ {checksum} return 200 '{reply}'; }}")
        for ms in filter(None, LATENCIES_MS):
            pause = f"echo_read_request_body; echo_sleep {ms / 1000}; echo_exec /{service}/0/;"
            locations.append(f"location = /{service}/{ms}/ {{ {pause} }}")
    folders = "\n".join(
        f"{kind}_temp_path {directory}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    return f"""load_module {module};
daemon off;
worker_processes 1;
pid {directory}/pid;
events {{ worker_connections 1024; }}
http {{
access_log off;
{folders}
keepalive_requests 1000000;
client_max_body_size 16m;
client_body_buffer_size 1m;
default_type application/x-amz-json-1.0;
server {{
listen 127.0.0.1:{port};
location = /status {{ stub_status; }}
{chr(10).join(locations)}
}}
}}
"""


def _await(process: subprocess.Popen[bytes], address: str) -> None:
    end = time.monotonic() + 10
    while time.monotonic() < end and process.poll() is None:
        try:
            connections(address)
        except OSError:
            time.sleep(0.02)
        else:
            return
    process.terminate()
    raise SystemExit(f"nginx did not start: {process.communicate()[1].decode().strip()}")


def connections(address: str) -> int:
    """Ask nginx how many connections it has accepted, this one included."""
    with urllib.request.urlopen(f"{address}/status") as reply:
        return int(reply.read().split()[7])


# --- Measuring --------------------------------------------------------------------------------------------------------


def measure_way(way: str, service: str, address: str, latency_ms: int, path: Path, rounds: int) -> Run:
    """Run a way in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.delivery", way, service, str(path), str(rounds)]
    before = connections(address)
    reply = subprocess.run(
        command, check=True, capture_output=True, text=True, env=_environment(f"{address}/{service}/{latency_ms}/")
    )
    opened = connections(address) - before - 1
    cpu_seconds, seconds = json.loads(reply.stdout)
    return Run(len(path.read_bytes().splitlines()) * rounds, cpu_seconds, seconds, opened)


def _environment(address: str) -> dict[str, str]:
    """Point the SDK of a process to an address, with credentials as long as a function's."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return ours | {
        "AWS_ENDPOINT_URL": address,
        "AWS_ACCESS_KEY_ID": "benchmark",
        "AWS_SECRET_ACCESS_KEY": "benchmark",
        "AWS_SESSION_TOKEN": "x" * 400,
        "AWS_DEFAULT_REGION": "eu-west-1",
        "PYTHONPATH": os.pathsep.join(map(str, (ROOT, ROOT / "lambda"))),
    }


def measure_losses(latency_ms: int, count: int) -> dict[str, dict[str, int]]:
    """Deliver to a sink that misbehaves, as the platform does: again until it is done; count what came of it."""
    found = {}
    for service, deliver in (("dynamodb", _lossy_table), ("sqs", _lossy_queue)):
        with Sink(latency_ms=latency_ms, fault_rate=FAULT_RATE, seed=latency_ms) as sink:
            measured = deliver(sink, count)
            found[service] = measured | {
                "requests": sink.requests.total(),
                "faults": sink.faults.total(),
                "connections": sink.connections,
            }
    return found


def _lossy_table(sink: Sink, count: int) -> dict[str, int]:
    lines = [put_line(item).encode() for item in results(count)]
    target = Table(TABLE_NAME, _client("dynamodb", sink))
    invocations = 0
    while True:
        invocations += 1
        try:
            target.write(lines, within(SECONDS))
            break
        except (ClientError, BotoCoreError, ThrottledError):
            continue
    lost = count - len(sink.items)
    return {"sent": count, "accepted": len(sink.items), "lost": lost, "doubled": 0, "disordered": 0} | {
        "invocations": invocations
    }


def _lossy_queue(sink: Sink, count: int) -> dict[str, int]:
    messages = outgoing(count, groups=count // 3)
    target = Queue(QUEUE_URL, _client("sqs", sink))
    sent = invocations = 0
    while sent < count:
        invocations += 1
        try:
            sent += target.send(messages[sent:], within(SECONDS)).taken
        except (ClientError, BotoCoreError):
            continue
    accepted = Counter(one for _, one, _ in sink.sent)
    places = {one: place for place, (_, one, _) in enumerate(sink.sent)}
    by_group: dict[str, list[int]] = {}
    for message in messages:
        by_group.setdefault(message.message.group, []).append(places.get(message.deduplication_id, -1))
    return {
        "sent": count,
        "accepted": len(accepted),
        "lost": count - len(accepted),
        "doubled": accepted.total() - len(accepted),
        "disordered": sum(order != sorted(order) for order in by_group.values()) + sink.overlaps,
        "invocations": invocations,
    }


def _client(service: str, sink: Sink) -> Any:
    """Make a client of the product's configuration for a sink."""
    session = boto3.Session("benchmark", "benchmark", region_name="eu-west-1")
    return session.client(service, endpoint_url=sink.url, config=clients.CONFIG)  # type: ignore[call-overload]  # any service


def measure(quick: bool, say: Callable[[str], None]) -> dict[str, Any]:
    """Measure all ways at all latencies for both services, and the losses."""
    repeats = 1 if quick else 5
    calls = 80 if quick else 200
    rounds = {0: 2, 5: 2, 50: 1} if quick else {0: 4, 5: 2, 50: 1}
    cost: dict[str, dict[str, dict[str, Any]]] = {service: {} for service in ENTRIES}
    (ROOT / "build").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="delivery-", dir=ROOT / "build") as folder:
        directory = Path(folder)
        with nginx(directory) as address:
            for service, latency_ms in itertools.product(ENTRIES, LATENCIES_MS):
                path = directory / f"{service}.jsonl"
                write_chunk(service, path, calls * ENTRIES[service])
                say(f"{service} at {latency_ms} ms")
                runs: dict[str, list[Run]] = {way: [] for way in _ways(service, latency_ms)}
                for _, way in itertools.product(range(repeats), runs):
                    runs[way].append(measure_way(way, service, address, latency_ms, path, rounds[latency_ms]))
                cost[service][str(latency_ms)] = {
                    way: asdict(min(measured, key=lambda run: run.cpu_seconds)) for way, measured in runs.items()
                }
    losses = {}
    for latency_ms in LATENCIES_MS[1:]:
        say(f"losses at {latency_ms} ms")
        losses[str(latency_ms)] = measure_losses(latency_ms, 1_500 if quick else 6_000)
    return {"cost": cost, "losses": losses, "threads": CALLERS, "fault_rate": FAULT_RATE}


def _ways(service: str, latency_ms: int) -> list[str]:
    """Name the ways to measure: messages are not parsed, and where the SDK ends does not hang on the latency."""
    left_out = {"parsed"} if service == "sqs" else set()
    return [way for way in WAYS if way not in (left_out | {"empty"} if latency_ms else left_out)]


def render(result: Result) -> str:
    """Show what an item costs by each way, and that nothing was lost."""
    names = {"dynamodb": "DynamoDB, 25 items a call", "sqs": "SQS, 10 messages a call"}
    parts = [
        "All ways deliver the same items to an nginx that gives one answer to all, each in a warm process of its own."
        " For DynamoDB they begin with a chunk file on disk (boto3 wants its lines parsed: one row leaves that out),"
        " for SQS with messages in memory. Processor time is the client's alone, of all its threads. The product's call"
        " with nothing in it shows what is left to the SDK itself."
    ]
    for service, by_latency in result.data["cost"].items():
        headings = ["", "items/CPU s", "to boto3 threaded", "to boto3 serial", "items/s", "connections"]
        rows = [
            [
                f"{latency} ms: {WAYS[way].name}",
                f"{_rate(run):,.0f}",
                *(f"{_rate(run) / _rate(ways[other]):.2f}" for other in ("default", "serial")),
                f"{run['items'] / run['seconds']:,.0f}",
                run["connections"],
            ]
            for latency, ways in by_latency.items()
            for way, run in ways.items()
        ]
        parts.append(f"{names[service]}:")
        parts.append(table(headings, rows))
    parts.append(
        f"Under faults: {result.data['fault_rate']:.0%} of the requests are throttled, answered by 500 or 503, taken in"
        " part, or cut off before or after all was taken. A call that fails for good is repeated as the platform does."
    )
    counts = ("sent", "accepted", "lost", "doubled", "disordered", "faults", "requests", "connections")
    rows = [
        [f"{latency} ms, {names[service].split(',')[0]}", *(f"{found[count]:,}" for count in counts)]
        for latency, services in result.data["losses"].items()
        for service, found in services.items()
    ]
    parts.append(table(["latency, service", *counts], rows))
    return "\n\n".join(parts)


def _rate(run: Mapping[str, Any]) -> float:
    return float(run["items"] / run["cpu_seconds"])


def main() -> None:
    """Run one way in this process and print its seconds of processor time and of the clock."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("way", choices=WAYS)
    parser.add_argument("service", choices=ENTRIES)
    parser.add_argument("path", type=Path)
    parser.add_argument("rounds", type=int)
    arguments = parser.parse_args()
    print(json.dumps(run_way(arguments.way, arguments.service, arguments.path, arguments.rounds)))


if __name__ == "__main__":
    main()
