"""One gateway process: the loop that reads requests, hands events to Kafka and answers on their
delivery reports."""

import asyncio
import gc
import logging
import os
import signal
import socket
import threading
from collections.abc import Callable

import uvloop
from django.conf import settings

from ingest.client_address import read_networks
from ingest.door import Door, make_door
from ingest.gateway.routes import Routes
from ingest.gateway.server import Server
from ingest.producer import KafkaUnavailable, PageViewProducer
from ingest.sites import FollowedSites

logger = logging.getLogger(__name__)

# How long a delivery report may lie before it is taken, while some are awaited and while none is.
POLL_SECONDS, IDLE_POLL_SECONDS = 0.001, 0.1
_READY_EVERY_S = 2.0
_KAFKA_TIMEOUT_S = 1.0


class Readiness:
    """Whether this process can take page views, asked of Kafka in a thread every two seconds."""

    def __init__(self, producer: PageViewProducer, sites: FollowedSites) -> None:
        self._producer = producer
        self._sites = sites
        self._missing: str | None = "not asked yet"

    def missing(self) -> str | None:
        """None when all is there."""
        return self._missing

    def follow(self, stop: threading.Event) -> None:
        """Returns once `stop` is set."""
        while not stop.is_set():
            self._missing = self._ask()
            stop.wait(_READY_EVERY_S)

    def _ask(self) -> str | None:
        try:
            self._producer.check(_KAFKA_TIMEOUT_S)
        except KafkaUnavailable as trouble:
            return str(trouble)
        return None if self._sites.are_known else "the sites can't be read"


def run(listener: socket.socket, alive: int, tell_ready: Callable[[], None]) -> None:
    """Serve until SIGTERM, or until the other end of the pipe `alive` is closed: then the
    process that started this one is gone."""
    sites = FollowedSites()
    # What waits is bounded by events, not by requests.
    door = make_door(sites, settings.KAFKA_QUEUE_EVENTS, own_thread=False)
    stop = threading.Event()
    readiness = Readiness(door.producer, sites)
    followers = [
        threading.Thread(target=follow, args=(stop,), daemon=True)
        for follow in (sites.follow, readiness.follow)
    ]
    for follower in followers:
        follower.start()
    sites.wait_known(5.0)
    try:
        uvloop.run(_serve(listener, alive, door, readiness, tell_ready))
    finally:
        stop.set()
        door.producer.close()
    logger.info("The gateway process %d stopped cleanly.", os.getpid())


async def _serve(
    listener: socket.socket,
    alive: int,
    door: Door,
    readiness: Readiness,
    tell_ready: Callable[[], None],
) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)

    def part_as_orphan() -> None:
        loop.remove_reader(alive)
        stop.set()

    loop.add_reader(alive, part_as_orphan)
    _Reports(door.producer, loop)
    server = Server(lambda _: None, settings.MAX_BODY_BYTES)
    routes = Routes(door, read_networks(settings.TRUSTED_PROXIES), readiness.missing, server.clock)
    server.handle = routes.handle
    # What is there by now stays: the collector need not look at it again and again.
    gc.collect()
    gc.freeze()
    tell_ready()
    await server.serve(listener, stop)
    loop.remove_reader(alive)


class _Reports:
    """Takes the delivery reports on the loop: an answer is written where its report comes in."""

    def __init__(self, producer: PageViewProducer, loop: asyncio.AbstractEventLoop) -> None:
        self._producer = producer
        self._loop = loop
        self._next: asyncio.Handle = loop.call_soon(self._take)
        producer.on_waiting = self._hurry

    def _take(self) -> None:
        try:
            self._producer.poll()
        finally:
            # Whatever one report did, the others are awaited.
            seconds = POLL_SECONDS if self._producer.waiting else IDLE_POLL_SECONDS
            self._next = self._loop.call_later(seconds, self._take)

    def _hurry(self) -> None:
        """The first request after a pause must not wait for the end of it."""
        self._next.cancel()
        self._next = self._loop.call_later(POLL_SECONDS, self._take)
