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
from ingest.door import make_door, producer_settings
from ingest.doors.runner import TrackerDoors
from ingest.gateway.producer import LoopProducer
from ingest.gateway.routes import Routes
from ingest.gateway.server import Server
from ingest.sites import FollowedSites

logger = logging.getLogger(__name__)

_COUNT_EVERY_S = 1.0


def run(listener: socket.socket, alive: int, tell_ready: Callable[[], None]) -> None:
    """Serve until SIGTERM, or until the other end of the pipe `alive` is closed: then the
    process that started this one is gone."""
    sites = FollowedSites()
    stop = threading.Event()
    threading.Thread(target=sites.follow, args=(stop,), daemon=True).start()
    sites.wait_known(5.0)
    try:
        uvloop.run(_serve(listener, alive, sites, tell_ready))
    finally:
        stop.set()
    logger.info("The gateway process %d stopped cleanly.", os.getpid())


async def _serve(
    listener: socket.socket,
    alive: int,
    sites: FollowedSites,
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
    # What waits is bounded by events; a request holds nothing else.
    producer = LoopProducer(producer_settings(settings.KAFKA_QUEUE_EVENTS))
    producer.start()

    def missing() -> str | None:
        return producer.trouble or (None if sites.are_known else "the sites can't be read")

    server = Server(lambda _: None, settings.MAX_BODY_BYTES)
    door = make_door(sites, producer)
    doors = TrackerDoors(door, settings.MAX_BODY_BYTES)
    routes = Routes(doors, read_networks(settings.TRUSTED_PROXIES), missing, server.clock)
    server.handle = routes.handle
    # What is there by now stays, and requests make no cycles but by exceptions: the collector
    # need not look at thousands of waiting requests again and again (a tenth of the time).
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 10, 10)
    tell_ready()
    counting = loop.create_task(_count(routes))
    await server.serve(listener, stop)
    await producer.close()
    counting.cancel()
    routes.count()
    loop.remove_reader(alive)


async def _count(routes: Routes) -> None:
    while True:
        await asyncio.sleep(_COUNT_EVERY_S)
        routes.count()
