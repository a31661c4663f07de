"""The gateway's server on a loop of its own, its clients, and what they send."""

import asyncio
import select
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from http.client import parse_headers
from typing import Any

import pytest
import uvloop

from ingest.gateway.connection import Request
from ingest.gateway.server import Server
from tests.processing.pipeline import wait_for

LIMIT = 100_000
SECONDS = 30.0
GET = b"GET /%s HTTP/1.1\r\nhost: localhost\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nhost: localhost\r\n"


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Any
    body: bytes


class Client:
    """One connection to the server, with a deadline for everything."""

    def __init__(self, port: int, receive_buffer: int = 0) -> None:
        self.socket = socket.socket()
        self.socket.settimeout(SECONDS)
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.connect(("127.0.0.1", port))
        self._incoming = self.socket.makefile("rb")

    def send(self, data: bytes) -> "Client":
        self.socket.sendall(data)
        return self

    def answer(self, to_head: bool = False) -> Answer:
        """The next one."""
        _, status, _ = self._incoming.readline().split(b" ", 2)
        headers = parse_headers(self._incoming)
        length = 0 if to_head else int(headers.get("content-length", 0))
        return Answer(int(status), headers, self._incoming.read(length))

    def is_closed(self) -> bool:
        """Whether nothing more comes; waits for it."""
        return self._incoming.read() == b""

    def is_told(self, seconds: float) -> bool:
        """Whether something comes within this time."""
        return bool(select.select([self.socket], [], [], seconds)[0])

    def close(self) -> None:
        self._incoming.close()
        self.socket.close()


class Running:
    """A server on a loop in a thread of its own, and its clients."""

    def __init__(self, handle: Callable[[Request], None], **limits: int) -> None:
        self.server = Server(handle, **({"most_body_bytes": LIMIT} | limits))
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.troubles: list[Any] = []
        self._loop = uvloop.new_event_loop()
        self._loop.set_exception_handler(lambda _, context: self.troubles.append(context))
        self._stop = asyncio.Event()
        self._clients = ExitStack()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def client(self, receive_buffer: int = 0) -> Client:
        client = Client(self.port, receive_buffer)
        self._clients.callback(client.close)
        return client

    def soon(self, callback: Callable[..., None], *arguments: Any) -> None:
        """On the loop, where answers have to be given."""
        self._loop.call_soon_threadsafe(callback, *arguments)

    def later(self, seconds: float, callback: Callable[..., None], *arguments: Any) -> None:
        """The same from the loop, after a time."""
        self._loop.call_later(seconds, callback, *arguments)

    def wait_cut(self) -> None:
        """Until no connection is left, as the server sees it."""
        wait_for(lambda: not self.server._connections, "every connection to be cut", SECONDS)

    def close(self) -> None:
        self._clients.close()
        self.wait_cut()
        self.soon(self._stop.set)
        self._thread.join(SECONDS)

    def _run(self) -> None:
        self._loop.run_until_complete(self.server.serve(self.listener, self._stop))
        self._loop.close()


Serve = Callable[..., Running]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Starts a server. Whatever its clients did, in the end no body is held and nothing crashed."""
    started: list[Running] = []

    def start(handle: Callable[[Request], None], **limits: int) -> Running:
        started.append(Running(handle, **limits))
        return started[-1]

    yield start
    for running in started:
        running.close()
        assert running.server.buffered == 0
        assert running.troubles == []


def echo(request: Request) -> None:
    request.answer(200, b"", request.head.target + request.body)


class Held:
    """A handler that keeps its requests until the test answers them."""

    def __init__(self) -> None:
        self.requests: list[Request] = []

    def __call__(self, request: Request) -> None:
        self.requests.append(request)

    def wait(self, requests: int) -> None:
        wait_for(lambda: len(self.requests) == requests, f"{requests} requests")


def post(body: bytes, *headers: bytes) -> bytes:
    lines = b"".join(b"%s\r\n" % header for header in headers)
    return POST + lines + b"content-length: %d\r\n\r\n%s" % (len(body), body)


def chunked(*pieces: bytes, trailers: bytes = b"") -> bytes:
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
    return POST + b"transfer-encoding: chunked\r\n\r\n" + chunks + b"0\r\n" + trailers + b"\r\n"
