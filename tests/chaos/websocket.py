"""The smallest websocket client that can watch a live page (RFC 6455)."""

import base64
import json
import os
import socket
import struct
import time
from typing import Any

_TEXT, _CLOSE, _PING, _PONG = 1, 8, 9, 10


class WebsocketError(RuntimeError):
    """Raised when the server refuses, closes or says nothing in time."""


class LivePage:
    """One viewer of `/ws/live/<site>`; acknowledges every message, as the page does."""

    def __init__(self, port: int, site: str, cookie: str, timeout: float = 10.0) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=timeout)
        self._file = self._socket.makefile("rb")
        self._shake_hands(port, site, cookie)
        self.state: dict[str, Any] = {}

    def close(self) -> None:
        self._file.close()
        self._socket.close()

    def follow(self, seconds: float) -> dict[str, Any]:
        """The state after `seconds` of changes."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline or not self.state:
            self._take(self._receive())
        return self.state

    def _take(self, message: dict[str, Any]) -> None:
        self.state = message.get("state") or {**self.state, **message["changes"]}
        self._send(_TEXT, json.dumps({"ack": message["seq"]}).encode())

    def _shake_hands(self, port: int, site: str, cookie: str) -> None:
        key = base64.b64encode(os.urandom(16)).decode()
        lines = (
            f"GET /ws/live/{site} HTTP/1.1",
            f"Host: localhost:{port}",
            f"Origin: http://localhost:{port}",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Key: {key}",
            "Sec-WebSocket-Version: 13",
            f"Cookie: {cookie}",
        )
        self._socket.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        status = self._file.readline().decode().strip()
        if " 101 " not in status:
            raise WebsocketError(f"no websocket: {status!r}")
        while self._file.readline().strip():
            pass

    def _receive(self) -> dict[str, Any]:
        while True:
            kind, data = self._frame()
            if kind == _TEXT:
                message: dict[str, Any] = json.loads(data)
                return message
            if kind == _PING:
                self._send(_PONG, data)
            if kind == _CLOSE:
                raise WebsocketError(f"closed: {data!r}")

    def _frame(self) -> tuple[int, bytes]:
        head = self._read(2)
        length = head[1] & 0x7F
        if length == 126:
            (length,) = struct.unpack(">H", self._read(2))
        elif length == 127:
            (length,) = struct.unpack(">Q", self._read(8))
        return head[0] & 0x0F, self._read(length)

    def _read(self, count: int) -> bytes:
        data = self._file.read(count)
        if len(data) < count:
            raise WebsocketError("the server hung up")
        return data

    def _send(self, kind: int, data: bytes) -> None:
        assert len(data) < 126, "an ack is short"
        mask = os.urandom(4)
        masked = bytes(byte ^ mask[n % 4] for n, byte in enumerate(data))
        self._socket.sendall(bytes((0x80 | kind, 0x80 | len(data))) + mask + masked)
