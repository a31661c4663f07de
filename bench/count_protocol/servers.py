"""Broker and store of the benchmark, the two logs, and one run of one side."""

import shutil
import subprocess
import sys
import time
import uuid

import msgspec
import redis
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from bench import cores
from bench.count_protocol import LOGS
from bench.processes import CACHE, DATA, ROOT, environment
from bench.rounds import Measurement
from bench.sites import prepare_sites
from bench.traffic import page_views
from ingest.pageview import encode
from tracker_site.embedded.servers import ApacheKafka, Valkey

DIRECTORY = DATA / "count-protocol"
# The events of a log arrived within an hour.
_SPAN_MS = 3_600_000
_RUN_TIMEOUT_S = 600


class Servers:
    """Started once, for every run of every side."""

    def __init__(self, events: int) -> None:
        shutil.rmtree(DIRECTORY, ignore_errors=True)
        self._events = events
        self._kafka = ApacheKafka(DIRECTORY / "kafka", CACHE / "apache-kafka")
        self._store = Valkey(DIRECTORY / "store", save=True)
        self._end_ms = int(time.time() * 1_000)

    def start(self) -> None:
        self._kafka.start()
        self._store.start()
        with redis.Redis.from_url(self._store.url) as client:
            # A rewrite of the append-only file would fall into one run and not into the next.
            client.config_set("auto-aof-rewrite-percentage", 0)
        prepare_sites(self._settings("none"))
        for topic, retryable in LOGS.items():
            self._fill(topic, retryable)

    def stop(self) -> None:
        self._store.kill()
        self._kafka.kill()

    def count(self, topic: str, side: str) -> Measurement:
        """Count the whole topic into an empty store."""
        with redis.Redis.from_url(self._store.url) as client:
            client.flushall()
        found = self._catch_up(topic, side)
        millions = found["events"] / 1e6
        return {
            "s per event": found["seconds"] / found["events"],
            "events/s": found["events"] / found["seconds"],
            "CPU s": found["cpu"] / millions,
            "store CPU s": found["store_cpu"] / millions,
        }

    def _catch_up(self, topic: str, side: str) -> dict[str, float]:
        # The clock of every run stands where the log ends, so that "now" is the same for all.
        slow_ms = int(time.time() * 1_000) - self._end_ms
        module = [sys.executable, "-m", "bench.count_protocol.catch_up"]
        done = subprocess.run(
            cores.on_measured([*module, side, str(self._events), str(slow_ms)]),
            cwd=ROOT,
            env=environment(self._settings(topic)),
            stdout=subprocess.PIPE,
            check=True,
            timeout=_RUN_TIMEOUT_S,
        )
        found: dict[str, float] = msgspec.json.decode(done.stdout)
        return found

    def _settings(self, topic: str) -> dict[str, str]:
        return {
            "DATA_DIR": str(DIRECTORY / "data"),
            "KAFKA_BOOTSTRAP_SERVERS": self._kafka.bootstrap_servers,
            "KAFKA_TOPIC": topic,
            "KAFKA_GROUP": f"bench-{uuid.uuid4()}",
            "REDIS_URL": self._store.url,
        }

    def _fill(self, topic: str, retryable: bool) -> None:
        """One partition, with all events in it."""
        broker: dict[str, str | int | float | bool] = {
            "bootstrap.servers": self._kafka.bootstrap_servers
        }
        admin = AdminClient(broker)
        admin.create_topics([NewTopic(topic, 1, 1)])[topic].result(20)
        queue = {"linger.ms": 50, "queue.buffering.max.messages": 2 * self._events}
        producer = Producer({**broker, **queue})
        span = (self._end_ms - _SPAN_MS, self._end_ms)
        for page_view in page_views(self._events, *span, retryable):
            producer.produce(topic, key=page_view.visitor, value=encode(page_view))
        if left := producer.flush(120):
            raise RuntimeError(f"{left} events were not taken by {topic}.")
