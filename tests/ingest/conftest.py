from collections.abc import Iterator

import pytest
from django.conf import settings

from ingest.acceptance import Acceptance
from ingest.delivery import ProducerSettings
from ingest.door import Door
from ingest.models import Site
from ingest.producer import PageViewProducer
from ingest.sites import SiteDirectory
from ingest.visitor import VisitorHash
from tests.conftest import Servers


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
    acceptance = Acceptance(SiteDirectory(0.0), settings.DEFAULT_SITE, VisitorHash("secret"))
    door = Door(acceptance, producer)
    monkeypatch.setattr("ingest.views.process_door", lambda: door)
    yield door
    producer.close()
