"""A network that breaks when told to: TCP proxies between the parts.

A `Proxy` stands before one server. Its `mode` may be changed while it carries connections,
and its target too, as a service's address moves to another machine.
"""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Coroutine
from dataclasses import dataclass
from enum import Enum
from typing import Any


class Mode(Enum):
    """What becomes of the bytes."""

    PASS = "pass"
    # Every connection is closed, and new ones as soon as they are made.
    CUT = "cut"
    # Nothing goes either way, and nobody is told.
    FREEZE = "freeze"
    # What the client says arrives; what the server answers is lost.
    DEAF = "deaf"
    # Every chunk comes late.
    SLOW = "slow"
    # HTTP only: each connection is answered with 500 and closed.
    ERROR_500 = "error 500"


_SLOW_S = 0.15
_ANSWER_500 = b"HTTP/1.1 500 Chaos\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class Network:
    """The event loop that all proxies share, in a thread of its own."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, name="network", daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(10)

    def close(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(5)


class Proxy:
    """Listens on `port`, passes on to `target`."""

    def __init__(self, network: Network, name: str, target: int, port: int = 0) -> None:
        self.name = name
        self.target = target
        self._mode = Mode.PASS
        self._network = network
        self._links: set[_Link] = set()
        # Bound at once, so that the port is known before the target runs.
        self._socket = socket.create_server(("127.0.0.1", port))
        self.port: int = self._socket.getsockname()[1]
        self._server: asyncio.Server = network.run(self._listen())

    @property
    def mode(self) -> Mode:
        return self._mode

    @mode.setter
    def mode(self, mode: Mode) -> None:
        self._network.run(self._change(mode))

    def heal(self) -> None:
        self.mode = Mode.PASS

    def retarget(self, target: int) -> None:
        """Let the address lead elsewhere; whoever is connected is cut off."""
        self._network.run(self._retarget(target))

    def close(self) -> None:
        self._network.run(self._close())

    async def _listen(self) -> asyncio.Server:
        return await asyncio.start_server(self._accept, sock=self._socket)

    async def _change(self, mode: Mode) -> None:
        # A stream that lost bytes is of no use any more.
        if mode in (Mode.CUT, Mode.ERROR_500) or self._mode is Mode.DEAF:
            self._drop_links()
        self._mode = mode
        for link in self._links:
            link.moving.set() if mode is not Mode.FREEZE else link.moving.clear()

    async def _retarget(self, target: int) -> None:
        self.target = target
        self._drop_links()

    async def _close(self) -> None:
        self._server.close()
        self._drop_links()

    def _drop_links(self) -> None:
        for link in list(self._links):
            link.close()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._mode is Mode.CUT:
            writer.transport.abort()
            return
        if self._mode is Mode.ERROR_500:
            await _answer_500(reader, writer)
            return
        try:
            server = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.transport.abort()
            return
        link = _Link((reader, writer), server)
        if self._mode is Mode.FREEZE:
            link.moving.clear()
        self._links.add(link)
        try:
            await link.carry(self)
        finally:
            self._links.discard(link)


Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass(eq=False)
class _Link:
    """One connection through a proxy."""

    client: Stream
    server: Stream

    def __post_init__(self) -> None:
        self.moving = asyncio.Event()
        self.moving.set()

    async def carry(self, proxy: Proxy) -> None:
        try:
            await asyncio.gather(
                self._copy(proxy, self.client[0], self.server[1], answers=False),
                self._copy(proxy, self.server[0], self.client[1], answers=True),
            )
        finally:
            self.close()

    async def _copy(
        self,
        proxy: Proxy,
        source: asyncio.StreamReader,
        sink: asyncio.StreamWriter,
        *,
        answers: bool,
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(65_536):
                await self.moving.wait()
                if proxy.mode is Mode.DEAF and answers:
                    continue
                if proxy.mode is Mode.SLOW:
                    await asyncio.sleep(_SLOW_S)
                sink.write(data)
                await sink.drain()
        self.close()

    def close(self) -> None:
        self.moving.set()
        for _, writer in (self.client, self.server):
            writer.transport.abort()


async def _answer_500(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError, TimeoutError):
        await asyncio.wait_for(reader.read(65_536), 2)
        writer.write(_ANSWER_500)
        await writer.drain()
    writer.close()
