"""`manage.py gateway`: the fast door, in one process or several."""

import logging
import shutil
import socket
import sys
from contextlib import ExitStack
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from ingest.gateway import scrape
from ingest.gateway.supervisor import Supervisor

logger = logging.getLogger(__name__)

WORKER = (sys.executable, "-m", "ingest.gateway")


class Command(BaseCommand):
    help = (
        "Take page views at /api/v1/track and /batch with nothing on the way. SIGHUP replaces the "
        "processes by new ones, SIGTERM stops; neither cuts a request off."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--host", default="127.0.0.1")
        parser.add_argument("--port", type=int, default=8081)
        parser.add_argument("--workers", type=int, default=1, help="processes, one a core")
        parser.add_argument(
            "--metrics-port", type=int, default=0, help="where Prometheus scrapes; 0: nowhere"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        host, port, workers = options["host"], options["port"], options["workers"]
        if workers < 1:
            raise CommandError(f"--workers is {workers}; it must be at least 1.")
        listener = _listen(host, port)
        with ExitStack() as stack:
            if options["metrics_port"]:
                _serve_metrics(host, options["metrics_port"], stack)
            self._supervise(listener, workers, f"{host}:{port}")
        logger.info("The gateway stopped cleanly.")

    @staticmethod
    def _supervise(listener: socket.socket, workers: int, address: str) -> None:
        try:
            Supervisor(WORKER, listener, workers).run(
                lambda: logger.info("The gateway serves on %s: %d processes.", address, workers)
            )
        except RuntimeError as error:
            raise CommandError(str(error)) from None


def _serve_metrics(host: str, port: int, stack: ExitStack) -> None:
    folder = scrape.keep_counters()
    stack.callback(shutil.rmtree, folder, ignore_errors=True)
    try:
        scrape.serve(host, port, folder)
    except OSError as error:
        raise CommandError(
            f"Metrics can't be served on {host}:{port} ({error.strerror}); give another port."
        ) from None


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        raise CommandError(
            f"Nothing can listen on {host}:{port} ({error.strerror}); give another --port."
        ) from None
    listener.listen(4_096)
    return listener
