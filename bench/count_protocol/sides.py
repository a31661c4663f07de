"""The consumers that are compared, wired by the settings as `manage.py consume` wires its own."""

from collections.abc import Callable
from dataclasses import dataclass

from confluent_kafka import Consumer
from django.conf import settings

from bench.count_protocol import AT_LEAST_ONCE, EXACTLY_ONCE, NO_DUPLICATES
from bench.count_protocol.at_least_once import AtLeastOnceConsumer, Forgetful, WithoutLedger, Writes
from ingest.sites import SiteDirectory
from processing.aggregation import Aggregator
from processing.consumer import PageViewConsumer
from processing.counters import Counters, connect
from processing.dead_letters import DeadLetters
from processing.log import Log
from processing.management.commands.consume import aggregators, kafka_settings


@dataclass(frozen=True)
class Side:
    """Classes that take the product's place."""

    consumer: type[PageViewConsumer]
    counters: type[Counters]
    aggregator: type[Aggregator] | None


_CLASSES = {
    EXACTLY_ONCE: Side(PageViewConsumer, Counters, None),
    NO_DUPLICATES: Side(PageViewConsumer, Counters, Forgetful),
    AT_LEAST_ONCE: Side(AtLeastOnceConsumer, Writes, WithoutLedger),
}


def consumer(name: str, clock: Callable[[], int]) -> PageViewConsumer:
    side = _CLASSES[name]
    counted_by = aggregators(SiteDirectory())
    if side.aggregator is not None:
        for aggregator in counted_by:
            # Made by the product's own wiring; only its methods differ.
            aggregator.__class__ = side.aggregator
    return side.consumer(
        Consumer(kafka_settings()),
        Log(settings.KAFKA_BOOTSTRAP_SERVERS, settings.KAFKA_TOPIC, timeout=5.0),
        side.counters(connect(settings.REDIS_URL), settings.REDIS_SHARDS),
        counted_by,
        DeadLetters(settings.KAFKA_BOOTSTRAP_SERVERS, settings.KAFKA_DEAD_TOPIC),
        batch_events=settings.CONSUMER_BATCH_EVENTS,
        max_invalid=settings.CONSUMER_MAX_INVALID,
        clock=clock,
    )
