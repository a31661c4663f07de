"""Broker, bodies, and one run of one door."""

import os
import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

import msgspec
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from bench import cores
from bench.ingest.doors import Door
from bench.ingest.load import Maximum, latency, maximum, try_one
from bench.processes import CACHE, DATA, ROOT, environment
from bench.rounds import Measurement
from bench.sites import prepare_sites
from bench.traffic import SITES, track_bodies
from tracker_site.embedded.servers import ApacheKafka, Server, free_port

DIRECTORY = DATA / "ingest"
FEW, MANY = 64, 1_000
BATCH_EVENTS = 500
_PARTITIONS = 8
_BODIES, _BATCHES, _BATCH_CONNECTIONS = 20_000, 20, 8
_WARM_UP_S = 2
# Of the maximum: where latencies are taken, on more connections than are in use at once, so that no
# request waits for one. The generator opens them in the first tenths of a second, which must be
# less than a hundredth of what p99 is taken of.
LOAD, OPEN = 0.7, 256
_LATENCY_S = 10


class DoorProcess(Server):
    """A door, alone on the measured core."""

    def __init__(self, door: Door, settings: dict[str, str]) -> None:
        self.name = "".join(letter if letter.isalnum() else "-" for letter in door.name)
        self._door = door
        self._settings = settings
        super().__init__(DIRECTORY / "logs", free_port())

    @property
    def working_directory(self) -> Path:
        return ROOT

    def command(self) -> list[str]:
        return cores.on_measured([word.format(port=self.port) for word in self._door.command])

    def environment(self) -> dict[str, str]:
        own = {name: text.format(port=self.port) for name, text in self._door.settings.items()}
        return environment({**self._settings, **own})

    def probe(self) -> bool:
        with socket.socket() as client:
            return client.connect_ex(("127.0.0.1", self.port)) == 0

    @property
    def pid(self) -> int:
        assert self.process is not None  # noqa: S101  asked for while it runs
        return self.process.pid

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"


class Runs:
    """Started once, for every run of every door."""

    def __init__(self, seconds: int) -> None:
        shutil.rmtree(DIRECTORY, ignore_errors=True)
        self._seconds = seconds
        self._kafka = ApacheKafka(DIRECTORY / "kafka", CACHE / "apache-kafka")
        self._bodies, self._batches = DIRECTORY / "bodies", DIRECTORY / "batches"
        self._number = 0

    def start(self) -> None:
        self._kafka.start()
        self._admin = AdminClient({"bootstrap.servers": self._kafka.bootstrap_servers})
        prepare_sites(self._settings("none"))
        self._write_bodies()

    def stop(self) -> None:
        self._kafka.kill()

    def tune(self, door: Door) -> Door:
        """The door with those of its variants' settings that take in most."""
        if not door.variants:
            return door
        rates = {}
        for number, settings in enumerate(door.variants):
            with self._running(door.with_settings(settings)) as (process, _):
                loads = [self._maximum(door, process, connections) for connections in (FEW, MANY)]
                rates[number] = max(load.rate for load in loads)
                print(f"{door}, {settings}: {rates[number]:,.0f} requests/s", flush=True)
        return door.with_settings(door.variants[max(rates, key=rates.__getitem__)])

    def measure(self, door: Door) -> Measurement:
        """Single events at few and at many connections, latencies below the maximum, batches."""
        with self._running(door) as (process, topic):
            few = self._maximum(door, process, FEW)
            many = self._maximum(door, process, MANY)
            accepted = self._warmed + few.requests + many.requests
            logged = self._logged(topic) if door.logs else accepted
            best, connections = max((few.rate, FEW), (many.rate, MANY))
            url = process.url(door.track)
            seconds = max(_LATENCY_S, self._seconds)
            times = latency(url, self._bodies, LOAD * best, OPEN, seconds)
            batches = self._batch(door, process)
        return {
            "requests/s": best,
            "requests/s few": few.rate,
            "requests/s many": many.rate,
            "CPU s": (few if connections == FEW else many).cpu_per_request * 1e6,
            "p50": times.p50,
            "p99": times.p99,
            "p99.9": times.p999,
            "latencies at": times.rate,
            "RSS few": few.rss / 2**20,
            "RSS many": many.rss / 2**20,
            "lost": max(0, accepted - logged) / accepted,
            "batch events/s": batches.rate * BATCH_EVENTS if batches else 0,
            "batch CPU s": batches.cpu_per_request / BATCH_EVENTS * 1e6 if batches else 0,
        }

    def memory(self, door: Door, minutes: int) -> list[float]:
        """The most resident bytes of each minute under many connections."""
        found: list[float] = []
        with self._running(door) as (process, _):
            url = process.url(door.track)
            for _ in range(minutes):
                found.append(maximum(url, self._bodies, process.pid, MANY, 60).rss)
                print(f"{door}: {found[-1] / 2**20:.0f} MB", flush=True)
        return found

    def _maximum(self, door: Door, process: DoorProcess, connections: int) -> Maximum:
        url = process.url(door.track)
        return maximum(url, self._bodies, process.pid, connections, self._seconds, door.strange)

    def _batch(self, door: Door, process: DoorProcess) -> Maximum | None:
        if door.batch is None:
            return None
        url = process.url(door.batch)
        return maximum(url, self._batches, process.pid, _BATCH_CONNECTIONS, self._seconds)

    @contextmanager
    def _running(self, door: Door) -> Iterator[tuple[DoorProcess, str]]:
        """The door, warm, and its topic."""
        self._number += 1
        topic = f"run-{self._number}"
        self._admin.create_topics([NewTopic(topic, _PARTITIONS, 1)])[topic].result(20)
        process = DoorProcess(door, self._settings(topic))
        try:
            process.start()
            url = process.url(door.track)
            try_one(url, self._bodies)
            warm = maximum(url, self._bodies, process.pid, FEW, _WARM_UP_S)
            self._warmed = 1 + warm.requests
            yield process, topic
        finally:
            process.stop()
            self._admin.delete_topics([topic])[topic].result(20)

    def _logged(self, topic: str) -> int:
        """How many events the topic holds, once it has stopped growing."""
        consumer = Consumer(
            {"bootstrap.servers": self._kafka.bootstrap_servers, "group.id": "bench"}
        )
        found, before = self._ends(consumer, topic), -1
        while found != before:
            time.sleep(0.5)
            found, before = self._ends(consumer, topic), found
        consumer.close()
        return found

    @staticmethod
    def _ends(consumer: Consumer, topic: str) -> int:
        return sum(
            consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=10)[1]
            for partition in range(_PARTITIONS)
        )

    def _settings(self, topic: str) -> dict[str, str]:
        return {
            "DATA_DIR": str(DIRECTORY / "data"),
            "SECRET_KEY": "of-a-benchmark-that-nobody-else-reaches",
            "KAFKA_BOOTSTRAP_SERVERS": self._kafka.bootstrap_servers,
            "KAFKA_TOPIC": topic,
            "RATE_LIMIT_ADDRESS": "0",
            "SITES": " ".join(SITES),
            "PYTHONPATH": os.fspath(ROOT),
        }

    def _write_bodies(self) -> None:
        """One body a line."""
        encode = msgspec.json.encode
        events = track_bodies(_BODIES + _BATCHES * BATCH_EVENTS, int(time.time()))
        self._bodies.write_bytes(msgspec.json.Encoder().encode_lines(list(islice(events, _BODIES))))
        batches = [encode({"events": list(islice(events, BATCH_EVENTS))}) for _ in range(_BATCHES)]
        self._batches.write_bytes(b"\n".join(batches) + b"\n")
