"""`manage.py consume`: count the log into Redis until told to stop."""

import gc
import logging
import signal
import sys
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

from confluent_kafka import Consumer
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from ingest.kafka_security import librdkafka_settings
from ingest.pageview import PageView, decode
from ingest.sites import SiteDirectory
from processing.aggregation import Aggregator
from processing.archive import Archive
from processing.archive_replay import ArchiveReplay
from processing.consumer import ConsumerStopped, PageViewConsumer
from processing.counters import Counters, connect
from processing.dead_letters import DeadLetters
from processing.duplicates import DuplicateWindows
from processing.forgotten_list import FollowedForgotten
from processing.log import Log
from processing.repair import Repair
from processing.rules import Retention
from processing.site_rules import rules_of
from processing.stats import now_ms

logger = logging.getLogger(__name__)


class Command(BaseCommand):
    help = "Count page views from Kafka into Redis, each exactly once, until SIGTERM or Ctrl-C."

    def handle(self, *args: Any, **options: Any) -> None:
        consumer = page_view_consumer()
        tune_interpreter()

        def stop(_: int, __: FrameType | None) -> None:
            consumer.stop()

        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, stop)
        line = ProgressLine(consumer)
        try:
            consumer.run(line.show)
        except ConsumerStopped as reason:
            raise CommandError(str(reason)) from None
        finally:
            line.end()
        logger.info("The consumer stopped cleanly.")


def tune_interpreter() -> None:
    """For a process that does nothing but count."""
    # A batch makes many objects and no cycles, so looking for garbage that often is for nothing:
    # it took 2.5 to 4 of 19 µs an event.
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    # Else the thread that talks to Redis waits 5 ms for its turn after each piece of an answer.
    sys.setswitchinterval(0.0005)


class ProgressLine:
    """One line that is written over on a terminal, a log record every ten seconds elsewhere."""

    def __init__(self, consumer: PageViewConsumer) -> None:
        self._progress = consumer.progress
        self._terminal = sys.stderr.isatty()
        self._every = 0.5 if self._terminal else 10.0
        self._shown_at = time.monotonic()
        self._shown_events = 0

    def show(self) -> None:
        elapsed = time.monotonic() - self._shown_at
        if elapsed < self._every:
            return
        events = self._progress.events - self._shown_events
        self._shown_at, self._shown_events = time.monotonic(), self._progress.events
        if self._terminal:
            sys.stderr.write(f"\r\x1b[K{self._line(events / elapsed)}")
            sys.stderr.flush()
        elif events:
            fields = self._fields(events / elapsed)
            logger.info(
                "Counting: %(events_per_second)s events/s, lag %(lag)s", fields, extra=fields
            )

    def end(self) -> None:
        """What is written next begins on a line of its own."""
        if self._terminal:
            sys.stderr.write("\n")

    def _fields(self, rate: float) -> dict[str, Any]:
        return {
            "events": self._progress.events,
            "events_per_second": round(rate, 1),
            "lag": self._progress.lag,
            "data_age_ms": self._progress.age_ms,
        }

    def _line(self, rate: float) -> str:
        age = (
            "unknown" if self._progress.age_ms is None else f"{self._progress.age_ms / 1000:.1f} s"
        )
        lag = "unknown" if self._progress.lag is None else f"{self._progress.lag:,}"
        counted = f"{self._progress.events:,}"
        return f"{rate:>9,.0f} events/s   lag {lag}   data age {age}   counted {counted}"


def page_view_consumer(
    decode: Callable[[bytes | None], PageView] = decode,
) -> PageViewConsumer:
    """A consumer wired by the settings. `decode` reads a message."""
    counters = Counters(
        connect(settings.REDIS_URL), settings.REDIS_SHARDS, forgotten=FollowedForgotten()
    )
    counted_by = aggregators(SiteDirectory())
    batch_events = settings.CONSUMER_BATCH_EVENTS
    replay = ArchiveReplay(Archive.from_settings(), counters, counted_by, batch_events, now_ms)
    return PageViewConsumer(
        Consumer(kafka_settings()),
        Log(settings.KAFKA_BOOTSTRAP_SERVERS, settings.KAFKA_TOPIC, timeout=5.0),
        counters,
        counted_by,
        DeadLetters(settings.KAFKA_BOOTSTRAP_SERVERS, settings.KAFKA_DEAD_TOPIC),
        batch_events=batch_events,
        max_invalid=settings.CONSUMER_MAX_INVALID,
        clock=now_ms,
        repair=Repair(replay),
        decode=decode,
    )


def aggregators(sites: SiteDirectory) -> list[Aggregator]:
    """One a shard, by the settings."""
    shards = settings.REDIS_SHARDS
    windows = DuplicateWindows(
        recent=settings.DUPLICATE_WINDOW_MINUTES * 60_000,
        backfill=settings.BACKFILL_DUPLICATE_WINDOW_DAYS * 86_400_000,
    )
    retention = Retention(
        minute=settings.MINUTE_RETENTION_HOURS * 3_600, hour=settings.HOUR_RETENTION_DAYS * 86_400
    )
    most = settings.TOP_VALUES
    return [
        Aggregator(shard, shards, lambda site: rules_of(sites.get(site)), retention, windows, most)
        for shard in range(shards)
    ]


def kafka_settings() -> dict[str, Any]:
    return {
        **librdkafka_settings(settings.KAFKA_BOOTSTRAP_SERVERS),
        "group.id": settings.KAFKA_GROUP,
        "session.timeout.ms": settings.KAFKA_SESSION_TIMEOUT_MS,
        # The default, 3 s, is too long for a short session: it would end again and again.
        "heartbeat.interval.ms": min(3_000, settings.KAFKA_SESSION_TIMEOUT_MS // 4),
        "enable.auto.commit": False,
        # A position that the log does not have is said aloud, never jumped over.
        "auto.offset.reset": "error",
        "enable.partition.eof": True,
        # The default of 1,000 ms leaves the consumer idle half of the time.
        "fetch.queue.backoff.ms": 5,
        # More than a batch, so that the next one waits here when the last one is counted.
        "queued.max.messages.kbytes": 16_384,
        "reconnect.backoff.max.ms": 1_000,
        "log_level": 3,
    }
