"""Run in a new interpreter with only an unpacked package: import a module, create clients, print the measurements.

Only the standard library is imported here, and as late as possible: a module that is loaded already costs no time.

Example:
    python -I -S -B start_probe.py FOLDER MODULE [SERVICE...]
"""

import sys
import time

_SERVICES = {"s3": "s3", "dynamodb": "dynamodb", "sqs": "sqs", "workflow": "stepfunctions"}
"""Services by the module of `pipeline.aws` that talks to them."""


def main(folder: str, module: str, *services: str) -> None:
    """Measure, and print the result as JSON; without `services`, the handler's own clients are created."""
    sys.path.insert(0, folder)
    clock = time.perf_counter()
    __import__(module)
    imported = time.perf_counter() - clock
    names = services or tuple(name for part, name in _SERVICES.items() if f"pipeline.aws.{part}" in sys.modules)
    clock = time.perf_counter()
    if services:
        import boto3

        for name in names:
            boto3.client(name)  # type: ignore[call-overload]  # any service
    else:
        from pipeline.aws.clients import client

        for name in names:
            client(name)
    made = time.perf_counter() - clock

    import json

    print(json.dumps({"import": imported, "clients": made, "services": names, "peak_kilobytes": peak_kilobytes()}))


def peak_kilobytes() -> int:
    """Return the peak memory of this process.

    On Linux, `ru_maxrss` begins with the memory of the parent process, so the kernel's own figure is preferred.
    """
    import resource
    from pathlib import Path

    status = Path("/proc/self/status")
    if status.exists():
        return next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    # In kilobytes, but in bytes on macOS.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // (1024 if sys.platform == "darwin" else 1)


if __name__ == "__main__":
    main(*sys.argv[1:])
