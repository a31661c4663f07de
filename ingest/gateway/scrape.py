"""What the gateway's processes count, added up for Prometheus: they share a port, so that a
scrape there would ask one of them. Each writes its counters into files of one folder."""

import os
import tempfile
from pathlib import Path

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.multiprocess import MultiProcessCollector

# prometheus_client looks for it as it is imported.
_FOLDER = "PROMETHEUS_MULTIPROC_DIR"


def keep_counters() -> Path:
    """Let the processes that are started from here on write their counters; where to."""
    folder = Path(tempfile.mkdtemp(prefix="gateway-metrics-"))
    os.environ[_FOLDER] = str(folder)
    return folder


def serve(host: str, port: int, folder: Path) -> None:
    """Answer scrapes at `/metrics`, in a thread. Raises `OSError` when nothing can listen."""
    registry = CollectorRegistry()
    MultiProcessCollector(registry, path=str(folder))  # type: ignore[no-untyped-call]
    start_http_server(port, host, registry)
