"""Raw requests over a connection that is kept, and their answers."""

import socket
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse

SECONDS = 60.0


@dataclass(frozen=True)
class Answer:
    """`headers` are named in lower case, with all values of each."""

    status: int
    headers: dict[str, list[str]]
    body: bytes

    def header(self, name: str) -> str:
        """The first of this name; empty if there is none."""
        return self.headers.get(name, [""])[0]


class Wire:
    """One connection to a server, opened again whenever the server has closed it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._connection: socket.socket | None = None
        self._sent = b""
        self._kept = False

    def send(self, raw: bytes) -> None:
        """A whole request, whose answer `receive` gives."""
        self._sent, self._kept = raw, self._connection is not None
        # It may be refused before it was read whole; the answer is there then.
        with suppress(OSError):
            self._connect().sendall(raw)

    def receive(self, method: str) -> Answer | None:
        """None: the connection was closed without an answer."""
        answer = self._read(self._connect(), method)
        if answer is None and self._kept:
            # It may have been closed after the answer before, when nothing was asked yet.
            self.send(self._sent)
            return self.receive(method)
        return answer

    def ask_broken(self, raw: bytes) -> list[Answer]:
        """All answers to bytes that may be any number of requests; nothing comes after them."""
        self.close()
        connection = self._connect()
        # It may have been closed already; what was said before can still be read.
        with suppress(OSError):
            connection.sendall(raw)
            connection.shutdown(socket.SHUT_WR)
        answers = []
        while (answer := self._read(connection, "GET")) is not None:
            answers.append(answer)
            if self._connection is None:
                break
        self.close()
        return answers

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _connect(self) -> socket.socket:
        if self._connection is None:
            self._connection = socket.create_connection(("127.0.0.1", self._port), SECONDS)
        return self._connection

    def _read(self, connection: socket.socket, method: str) -> Answer | None:
        try:
            with HTTPResponse(connection, method=method) as response:
                response.begin()
                body = response.read()
        except TimeoutError:
            self.close()
            raise AssertionError(f"no answer within {SECONDS:.0f} s") from None
        except (HTTPException, OSError):
            self.close()
            return None
        if response.will_close or response.status == 101:
            self.close()
        headers: dict[str, list[str]] = {}
        for name, value in response.getheaders():
            headers.setdefault(name.lower(), []).append(value)
        return Answer(response.status, headers, body)
