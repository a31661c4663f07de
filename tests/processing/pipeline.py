"""The pieces of the pipeline as the tests put them together: a topic, a store, consumers."""

import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import redis
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from ingest.models import Site
from ingest.pageview import PageView, encode
from processing.aggregation import Aggregator
from processing.archive import Archive
from processing.archive_replay import ArchiveReplay
from processing.consumer import PageViewConsumer
from processing.counters import Counters, connect
from processing.dead_letters import DeadLetters
from processing.duplicates import DuplicateWindows
from processing.forgotten import ForgottenUpTo, nothing_forgotten
from processing.log import Log
from processing.repair import Repair
from processing.rules import Retention, SiteRules
from processing.stats import Stats, now_ms
from tests.conftest import Servers
from tracker_site import settings as settings_module

SITE = "example.com"


def page_view(path: str = "/", visitor: str = "v1", **fields: Any) -> PageView:
    now = now_ms()
    values: dict[str, Any] = {"id": str(uuid.uuid4()), "site": SITE, "ts": now, "received": now}
    return PageView(path=path, visitor=visitor, **(values | fields))


def wait_for(
    condition: Callable[[], bool], what: str, seconds: float = 30.0, every: float = 0.02
) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what}"
        time.sleep(every)


@dataclass
class Pipeline:
    """One topic and one store; makes consumers and asks for what they counted."""

    servers: Servers
    topic: str
    client: "redis.Redis"
    shards: int = 1
    rules: dict[str, SiteRules] = field(default_factory=dict)
    most_values: int = 1_000
    forgotten: ForgottenUpTo = nothing_forgotten

    def __post_init__(self) -> None:
        self.log = Log(self.servers.bootstrap_servers, self.topic)
        self.stats = Stats(self.client, self.shards, self.topic)
        self.site = Site(public_id=SITE, time_zone="UTC")
        self._producer = Producer(
            {"bootstrap.servers": self.servers.bootstrap_servers, "acks": "all", "linger.ms": 1}
        )

    def site_in(self, time_zone: str) -> Site:
        return Site(public_id=SITE, time_zone=time_zone)

    def send(self, events: Iterable[Any], partition: int = -1) -> None:
        """Put page views, or raw bytes, into the topic."""
        errors: list[object] = []
        for event in events:
            is_page_view = isinstance(event, PageView)
            self._producer.produce(
                self.topic,
                key=event.visitor if is_page_view else None,
                value=encode(event) if is_page_view else event,
                partition=partition,
                on_delivery=lambda error, _: errors.append(error) if error else None,
            )
        assert self._producer.flush(20) == 0
        assert errors == []

    def expire(self, partition: int, before: int) -> None:
        """Let the log begin at `before`, as its retention would (not in the embedded broker)."""
        admin = AdminClient({"bootstrap.servers": self.servers.bootstrap_servers})
        beginning = TopicPartition(self.topic, partition, before)
        admin.delete_records([beginning])[beginning].result(20)
        wait_for(lambda: self.log.starts(2)[partition] == before, "the log to begin later")

    def delete_topic(self) -> None:
        admin = AdminClient({"bootstrap.servers": self.servers.bootstrap_servers})
        admin.delete_topics([self.topic])[self.topic].result(20)

    def make_topic_again(self) -> None:
        """Delete the topic and make it anew: another log of the same name."""
        self.delete_topic()
        admin = AdminClient({"bootstrap.servers": self.servers.bootstrap_servers})

        def made() -> bool:
            try:
                admin.create_topics([NewTopic(self.topic, 2, 1)])[self.topic].result(20)
            except KafkaException:
                return False
            return True

        wait_for(made, "the topic to be made again")

    def consumer(self, archive: Archive | None = None, **options: Any) -> PageViewConsumer:
        """A consumer; with an archive it repairs from there what the log no longer has."""
        defaults: dict[str, Any] = {"batch_events": 1_000, "max_invalid": 1_000, "clock": now_ms}
        options = defaults | options
        client = connect(self.servers.redis_url)
        counters = Counters(client, self.shards, forgotten=self.forgotten)
        aggregators = self.aggregators()
        batch_events, clock = options["batch_events"], options["clock"]
        replay = (
            ArchiveReplay(archive, counters, aggregators, batch_events, clock) if archive else None
        )
        return PageViewConsumer(
            Consumer(
                {
                    "bootstrap.servers": self.servers.bootstrap_servers,
                    "group.id": self.topic,
                    "session.timeout.ms": 2_000,
                    "heartbeat.interval.ms": 500,
                    "enable.auto.commit": False,
                    "auto.offset.reset": "error",
                    "enable.partition.eof": True,
                    "fetch.queue.backoff.ms": 5,
                    "log_level": 3,
                }
            ),
            self.log,
            counters,
            aggregators,
            DeadLetters(self.servers.bootstrap_servers, f"{self.topic}.dead"),
            repair=Repair(replay) if replay else None,
            **options,
        )

    def aggregators(self) -> list[Aggregator]:
        return [
            Aggregator(
                shard,
                self.shards,
                lambda site: self.rules.get(site, SiteRules()),
                Retention(minute=48 * 3_600, hour=90 * 86_400),
                DuplicateWindows(recent=600_000, backfill=30 * 86_400_000),
                self.most_values,
            )
            for shard in range(self.shards)
        ]

    @contextmanager
    def process(self, database_url: str, **settings: str) -> Iterator["subprocess.Popen[bytes]"]:
        """A `manage.py consume` of its own; killed at the end if it still runs."""
        environment = {
            **os.environ,
            "KAFKA_BOOTSTRAP_SERVERS": self.servers.bootstrap_servers,
            "KAFKA_TOPIC": self.topic,
            "KAFKA_GROUP": self.topic,
            "KAFKA_SESSION_TIMEOUT_MS": "2000",
            "REDIS_URL": self.servers.redis_url,
            "DATABASE_URL": database_url,
            **settings,
        }
        command = [sys.executable, "manage.py", "consume"]
        process = subprocess.Popen(command, env=environment, cwd=settings_module.BASE_DIR)
        try:
            yield process
        finally:
            process.kill()
            process.wait()

    def run_until(self, consumer: PageViewConsumer, condition: Callable[[], bool]) -> None:
        """Step the consumer in this thread until `condition`."""

        def check() -> None:
            assert time.monotonic() < deadline, f"not counted in time: {self.stats.ledger()}"
            if condition():
                consumer.stop()

        deadline = time.monotonic() + 45
        consumer.run(check)

    def count_all(self, events: int) -> None:
        """Run one consumer until `events` have been read in all."""
        self.run_until(self.consumer(), lambda: self.read() == events)

    def read(self) -> int:
        totals: dict[str, int] = self.stats.ledger()["totals"]
        return totals["read"]
