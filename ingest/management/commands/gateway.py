"""`manage.py gateway`: the fast door, in one process or several."""

import logging
import socket
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

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

    def handle(self, *args: Any, **options: Any) -> None:
        host, port, workers = options["host"], options["port"], options["workers"]
        if workers < 1:
            raise CommandError(f"--workers is {workers}; it must be at least 1.")
        listener = _listen(host, port)
        try:
            Supervisor(WORKER, listener, workers).run(
                lambda: logger.info(
                    "The gateway serves on %s:%d with %d processes.", host, port, workers
                )
            )
        except RuntimeError as error:
            raise CommandError(str(error)) from None
        logger.info("The gateway stopped cleanly.")


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
