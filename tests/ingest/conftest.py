from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import pytest
from django.conf import settings

from ingest.delivery import ProducerSettings
from ingest.door import Door
from ingest.doors.runner import TrackerDoors
from ingest.models import Site
from ingest.producer import PageViewProducer
from tests.conftest import CACHE, Servers, _missing
from tests.ingest.accepting import acceptance_of
from tracker_site.embedded.servers import ApacheKafka, ServerError

Kafka = TypeVar("Kafka", bound=ApacheKafka)


def producer_settings(servers: Servers, topic: str, **changes: int) -> ProducerSettings:
    values = {"linger_ms": 1, "timeout_ms": 5_000, "queue_events": 5_000, "waiting_requests": 64}
    return ProducerSettings(servers.bootstrap_servers, topic, **(values | changes))


@pytest.fixture
def site(db: None) -> Site:
    return Site.objects.create(public_id=settings.DEFAULT_SITE)


@pytest.fixture
def door(
    servers: Servers, topic: str, site: Site, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Door]:
    """The door that the views use, at a topic of its own."""
    producer = PageViewProducer(producer_settings(servers, topic))
    door = Door(acceptance_of(settings.DEFAULT_SITE), producer)
    doors = TrackerDoors(door, settings.MAX_BODY_BYTES)
    monkeypatch.setattr("ingest.views.process_door", lambda: door)
    monkeypatch.setattr("ingest.doors.views.process_doors", lambda: doors)
    yield door
    producer.close()


def stoppable_kafka(directory: Path, kind: type[Kafka]) -> Iterator[Kafka]:
    """An Apache Kafka of its own, for a fixture whose tests stop and start it."""
    server = kind(directory, CACHE / "apache-kafka")
    try:
        server.start()
    except ServerError as error:
        _missing(str(error))
    yield server
    server.stop()
