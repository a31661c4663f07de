"""The connections of one process: bounds on their number, memory and time, and a stop that
cuts nobody off."""

import asyncio
import logging
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from email.utils import formatdate

from ingest.door import error_body, try_again
from ingest.gateway.connection import Connection, Request
from ingest.gateway.head import KnownHeads

logger = logging.getLogger(__name__)

IDLE_SECONDS = 75.0
REQUEST_SECONDS = 30.0
SLOW_READER_SECONDS = 30.0
# For so long a connection that asks nothing more stays open after the stop was asked for: who
# is about to ask again is answered, and told to close.
PARTING_SECONDS = 2.0
DRAIN_SECONDS = 10.0
_BACKLOG = 4_096


_REASONS = {
    200: b"OK",
    202: b"Accepted",
    204: b"No Content",
    304: b"Not Modified",
    400: b"Bad Request",
    401: b"Unauthorized",
    403: b"Forbidden",
    404: b"Not Found",
    405: b"Method Not Allowed",
    408: b"Request Timeout",
    413: b"Content Too Large",
    414: b"URI Too Long",
    415: b"Unsupported Media Type",
    429: b"Too Many Requests",
    431: b"Request Header Fields Too Large",
    500: b"Internal Server Error",
    503: b"Service Unavailable",
}


class Server:
    """`handle` gets each request and answers it at some time, in this thread.

    Bodies of more than `most_body_bytes` get 413; while all bodies held together are more
    than `most_buffered_bytes`, new ones get 503; connections beyond `most_connections` are
    closed.
    """

    def __init__(
        self,
        handle: Callable[[Request], None],
        most_body_bytes: int,
        most_buffered_bytes: int = 128 * 2**20,
        most_connections: int = 15_000,
    ) -> None:
        self.handle = handle
        self.most_body_bytes = most_body_bytes
        self.most_buffered_bytes = most_buffered_bytes
        self._most_connections = most_connections
        self.clock = time.monotonic
        self.now = self.clock()
        # Of requests.
        self.heads = KnownHeads()
        # Of this second's answers.
        self._heads: dict[tuple[int, bytes], bytes] = {}
        self.buffered = 0
        self.draining = False
        self._drained_since = 0.0
        self._connections: set[Connection] = set()
        self.overloaded = error_body(None, None, try_again("too many bodies are being read"))

    async def serve(self, listener: socket.socket, stop: asyncio.Event) -> None:
        """Returns once `stop` is set and every connection is gone or its time is over."""
        self._tick()
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: Connection(self), sock=listener, backlog=_BACKLOG)
        ticking = asyncio.create_task(self._keep_time())
        await stop.wait()
        await self._drain(server)
        ticking.cancel()

    def head(self, status: int, headers: bytes) -> bytes:
        """The first lines of an answer, its date among them."""
        head = self._heads.get((status, headers))
        if head is None:
            date = formatdate(usegmt=True).encode()
            head = b"HTTP/1.1 %d %s\r\ndate: %s\r\n%s" % (status, _REASONS[status], date, headers)
            self._heads[status, headers] = head
        return head

    def opened(self, connection: Connection) -> None:
        self._connections.add(connection)
        if len(self._connections) > self._most_connections:
            logger.warning("More than %d connections: one is closed.", self._most_connections)
            connection.abort()

    def lost(self, connection: Connection) -> None:
        self._connections.discard(connection)

    async def _drain(self, server: asyncio.AbstractServer) -> None:
        """Those that were accepted or wait to be: one more turn of the loop takes them in."""
        self.draining = True
        self._drained_since = self.clock()
        await asyncio.sleep(0.05)
        server.close()
        while self._connections and self.clock() - self._drained_since < DRAIN_SECONDS:
            if self.clock() - self._drained_since > PARTING_SECONDS:
                self._part()
            await asyncio.sleep(0.02)
        unanswered = sum(not connection.is_idle for connection in self._connections)
        if unanswered:
            logger.warning("%d requests were cut off after %.0f s.", unanswered, DRAIN_SECONDS)

    def _part(self) -> None:
        for connection in list(self._connections):
            if connection.is_idle:
                connection.close()

    async def _keep_time(self) -> None:
        while True:
            await asyncio.sleep(1.0)
            self._tick()
            for connection in list(self._connections):
                with suppress(Exception):
                    self._look_at(connection)

    def _tick(self) -> None:
        self.now = self.clock()
        self._heads = {}

    def _look_at(self, connection: Connection) -> None:
        silent = self.now - connection.since
        if connection.is_slow_reader:
            if silent > SLOW_READER_SECONDS:
                connection.abort()
        elif connection.is_reading:
            if silent > REQUEST_SECONDS:
                connection.time_out()
        elif connection.is_idle and silent > IDLE_SECONDS:
            connection.close()
            # Closed long ago, but the other end does not take the rest of its answer.
            if silent > IDLE_SECONDS + SLOW_READER_SECONDS:
                connection.abort()
