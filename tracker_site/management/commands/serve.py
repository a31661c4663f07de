"""`manage.py serve`: HTTP and websockets by Daphne, with a stop that cuts nobody off."""

import asyncio
import logging
import time
from typing import Any

import daphne.server
from daphne.endpoints import build_endpoint_description_strings
from daphne.http_protocol import WebRequest
from daphne.server import Server
from daphne.ws_protocol import WebSocketProtocol
from django.core.management.base import BaseCommand, CommandError, CommandParser
from twisted.internet import defer, reactor

from tracker_site.asgi import application
from tracker_site.http_request import HttpFactory

logger = logging.getLogger(__name__)
DRAIN_SECONDS = 10.0
_SERVICE_RESTART = 1012


class DrainingServer(Server):  # type: ignore[misc]  # Daphne has no types
    """Daphne, but on its way out it answers what it was asked before."""

    draining = False
    listen_trouble = ""

    def listen_success(self, port: Any) -> Any:
        """Hands the port on, which Daphne forgets, so that it can be closed."""
        super().listen_success(port)
        return port

    def listen_error(self, failure: Any) -> None:
        """Keeps why nothing can listen, which for Daphne is a stop like any other."""
        self.listen_trouble = failure.getErrorMessage()
        self.stop()

    def kill_all_applications(self) -> Any:
        """Twisted waits for this before it stops: first nothing new, then what is under way."""
        return defer.Deferred.fromFuture(asyncio.ensure_future(self._drain()))

    async def _drain(self) -> None:
        self.draining = True
        for listening in self.listeners:
            listening.addCallback(lambda port: port.stopListening())
        for protocol in list(self.connections):
            if isinstance(protocol, WebSocketProtocol):
                protocol.sendClose(code=_SERVICE_RESTART)
        deadline = time.monotonic() + DRAIN_SECONDS
        while (self._under_way() or _unsent()) and time.monotonic() < deadline:
            await asyncio.sleep(0.02)
        if left := self._under_way():
            logger.warning("%d requests were cut off after %.0f s.", left, DRAIN_SECONDS)

    def _under_way(self) -> int:
        return sum(
            1
            for protocol, details in self.connections.items()
            if isinstance(protocol, WebRequest)
            and "disconnected" not in details
            and not _is_done(details.get("application_instance"))
        )


def _unsent() -> int:
    """Connections with answers that the system has not taken yet; a stop would drop them.
    A viewer that no longer reads holds nobody up."""
    writers: Any = reactor.getWriters()  # type: ignore[misc]  # zope's interface, not its method
    protocols = [getattr(writer, "protocol", None) for writer in writers]
    return sum(1 for protocol in protocols if not isinstance(protocol, WebSocketProtocol))


def _is_done(application: "asyncio.Future[None] | None") -> bool:
    """A request without an application is still being read."""
    return application is not None and application.done()


class Command(BaseCommand):
    help = "Serve the product on one port; SIGTERM and Ctrl-C answer what is under way first."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--host", default="127.0.0.1")
        parser.add_argument("--port", type=int, default=8080)

    def handle(self, *args: Any, **options: Any) -> None:
        endpoints = build_endpoint_description_strings(host=options["host"], port=options["port"])
        logger.info("Serving on %s:%d", options["host"], options["port"])
        daphne.server.HTTPFactory = HttpFactory  # Daphne has no other place to say so.
        server = DrainingServer(application, endpoints=endpoints, server_name="")
        server.run()
        if server.listen_trouble:
            raise CommandError(f"{server.listen_trouble} Free it, or give another --port.")
        logger.info("The web process stopped cleanly.")
