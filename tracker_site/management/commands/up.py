"""`manage.py up`: the whole system in the foreground, with nothing but Python."""

import os
import signal
import socket
import sys
import threading
from types import FrameType
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser
from rich.console import Console

from tracker_site.embedded.credentials import Credentials, ensure_credentials
from tracker_site.embedded.servers import ServerError
from tracker_site.embedded.stack import Stack, stop_leftovers
from tracker_site.embedded.state import StackState


class Command(BaseCommand):
    help = "Run broker, store, web, consumer, worker and beat until Ctrl-C (README.md)."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--host", default=os.environ.get("HOST") or "127.0.0.1")
        parser.add_argument("--port", default=os.environ.get("PORT") or "8080")
        parser.add_argument("--kafka", default=os.environ.get("KAFKA") or "embedded")

    def handle(self, *args: Any, **options: Any) -> None:
        self._console = Console(highlight=False, soft_wrap=True)
        self._stopping = threading.Event()
        port = _read_port(options["port"])
        kafka = _read_kafka(options["kafka"])
        state = StackState(settings.DATA_DIR)
        if not state.acquire():
            raise CommandError(
                f"A stack runs in {state.directory} already ({state.read().get('url')}). Stop it "
                "with Ctrl-C there or `make down`, or give this one its own DATA_DIR and PORT."
            )
        self._catch_signals()
        stop_leftovers(state, self._say)
        _require_free(options["host"], port)
        self._run(Stack(state, options["host"], port, kafka, self._say), state)

    def _run(self, stack: Stack, state: StackState) -> None:
        try:
            credentials = self._start(stack, state)
            if not self._stopping.is_set():
                self._introduce(stack, credentials)
                stack.watch(self._stopping)
        except ServerError as error:
            stack.shutdown().kill()
            raise CommandError(str(error)) from None
        self._stop(stack)

    def _start(self, stack: Stack, state: StackState) -> Credentials:
        with self._console.status("Starting broker and store …"):
            stack.start_servers()
        with self._console.status("Preparing the database …"):
            call_command("migrate", verbosity=0)
            path = state.directory / "credentials.json"
            credentials = ensure_credentials(path, stack.url, settings.DEFAULT_SITE)
        with self._console.status("Starting web, consumer, worker and beat …"):
            stack.start_children()
            stack.wait_ready()
        return credentials

    def _stop(self, stack: Stack) -> None:
        self._say("Stopping: no more requests, then counting and archiving what was accepted …")
        shutdown = stack.shutdown()
        try:
            shutdown.run()
        except KeyboardInterrupt:
            shutdown.kill()
            self._say("Stopped at once; what was accepted and not counted yet may be lost.")
            sys.exit(130)
        self._say("Stopped.")

    def _catch_signals(self) -> None:
        """The first signal stops in order, the second one at once."""

        def stop(number: int, frame: FrameType | None) -> None:
            if self._stopping.is_set():
                raise KeyboardInterrupt
            self._stopping.set()

        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, stop)

    def _introduce(self, stack: Stack, credentials: Credentials) -> None:
        self._say(f"""
[bold]Ready.[/bold]

  Live page   {stack.url}/
  Admin       {stack.url}/admin/   user {credentials["admin_user"]}   password {credentials["admin_password"]}
  API         {stack.url}/api/docs
  Logs        {stack.logs}

Count a page view:

  curl -X POST {stack.url}/api/v1/track -H "Content-Type: application/json" \\
    -d '{{"user_id": "user123", "page_url": "/home", "timestamp": 1730814562}}'
""")  # noqa: E501
        if stack.keeps_log_in_memory:
            self._say(
                "The embedded broker keeps its log in memory. Ctrl-C counts and archives "
                "everything first and loses nothing;\na kill of the broker loses what is not "
                "counted yet. KAFKA=apache make up keeps the log on disk.\n"
            )
        self._say("Ctrl-C stops everything.")

    def _say(self, text: str) -> None:
        self._console.print(text)


def _read_port(text: str) -> int:
    if not text.isdigit() or not 1 <= int(text) <= 65_535:
        raise CommandError(f"PORT is {text!r}; it must be a number from 1 to 65535.")
    return int(text)


def _read_kafka(kind: str) -> str:
    if kind not in ("embedded", "apache"):
        raise CommandError(f"KAFKA is {kind!r}; it must be embedded or apache.")
    return kind


def _require_free(host: str, port: int) -> None:
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except OSError as error:
            raise CommandError(
                f"Port {port} is taken ({error.strerror}). Try another one: PORT={port + 1} make up"
            ) from None
