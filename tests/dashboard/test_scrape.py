"""`/metrics`, read as Prometheus reads it."""

import re
import tomllib
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer
from django.contrib.auth.models import User
from django.db import OperationalError
from django.test import Client
from django.utils import timezone
from prometheus_client.parser import text_string_to_metric_families

from dashboard import scrape
from dashboard.models import ApiKey
from ingest import metrics
from ingest.door import Door, Limits
from ingest.models import Site
from ingest.producer import PageViewProducer
from ingest.rate_limit import TokenBuckets
from processing import keys
from processing.archive_progress import ArchiveProgress
from processing.log import Log, LogUnavailable
from processing.models import Planning, Segment
from processing.stats import now_ms
from tests.conftest import Servers, make_topic
from tests.dashboard.counting import TOPIC, CountedStore
from tests.ingest.accepting import acceptance_of
from tests.ingest.conftest import producer_settings
from tests.ingest.test_track import EVENT, post
from tracker_site.embedded.servers import Valkey

pytestmark = pytest.mark.django_db
ROOT = Path(__file__).parent.parent.parent
SPEC = (ROOT / "SPEC.md").read_text()
Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


@pytest.fixture(autouse=True)
def kafka(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kafka answers that there are three dead letters."""
    monkeypatch.setattr(scrape, "dead_letters", lambda: 3)


def read(client: Client) -> Samples:
    """Every sample by name and labels, as Prometheus' own parser finds them."""
    response = client.get("/metrics", headers={"Accept": "application/openmetrics-text"})
    assert response.status_code == 200
    assert response["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(response.content.decode())
        for sample in family.samples
    }


def value(samples: Samples, name: str, **labels: str) -> float | None:
    return samples.get((name, tuple(sorted(labels.items()))))


def count_some(counted: CountedStore, site: Site) -> None:
    again = counted.view(site, retryable=True)
    counted.count(counted.view(site), again, again)
    counted.tally(invalid=2)
    counted.report(now_ms() - 400, at=now_ms(), log_end=counted.offset + 7)


# --- What is told ----------------------------------------------------------------------


def test_it_tells_the_balance(counted: CountedStore, site: Site, reader: Client) -> None:
    count_some(counted, site)
    log = {"topic": TOPIC, "topic_id": counted.topic_id, "partition": 0}
    now = timezone.now()
    Segment.objects.create(**log, start=0, end=3, rows=3, state="written", planned_at=now)
    Segment.objects.create(**log, start=3, end=5, state="failed", planned_at=now)
    samples = read(reader)
    expected = {"counted": 2, "duplicate": 1, "invalid": 2, "expired": 0}
    for category, events in expected.items():
        found = value(samples, "tracker_events_total", category=category, partition="0")
        assert found == events, category
    assert value(samples, "tracker_log_end_offset", partition="0") == 12
    assert value(samples, "tracker_marker_offset", partition="0") == 5
    assert value(samples, "tracker_lag_events", partition="0") == 7
    assert 0.3 <= (value(samples, "tracker_data_age_seconds") or 0) < 3
    assert value(samples, "tracker_archived_offset", partition="0") == 3
    assert value(samples, "tracker_archived_rows", partition="0") == 3
    assert value(samples, "tracker_archive_segments", state="failed") == 1
    assert value(samples, "tracker_archive_segments", state="lost") == 0
    assert 0 < (value(samples, "tracker_archive_unfinished_age_seconds") or 0) < 30
    assert value(samples, "tracker_dead_letters") == 3
    for part in ("redis", "database", "kafka"):
        assert value(samples, "tracker_up", part=part) == 1


def test_it_tells_when_the_archive_was_planned(
    counted: CountedStore, site: Site, reader: Client
) -> None:
    assert value(read(reader), "tracker_archive_planned_age_seconds") is None
    count_some(counted, site)
    counted.client.zadd(keys.logs(TOPIC), {counted.topic_id: now_ms() - 900_000})
    samples = read(reader)
    assert 900 <= (value(samples, "tracker_archive_planned_age_seconds") or 0) < 930
    assert value(samples, "tracker_cut_back_events", partition="0") == 0
    at = timezone.now() - timedelta(seconds=100)
    Planning.objects.create(topic=TOPIC, at=at, cut_back={"0": 12})
    samples = read(reader)
    assert 100 <= (value(samples, "tracker_archive_planned_age_seconds") or 0) < 130
    assert value(samples, "tracker_cut_back_events", partition="0") == 12


def test_counters_only_go_up(counted: CountedStore, site: Site, reader: Client) -> None:
    before: Samples = {}
    for _ in range(3):
        count_some(counted, site)
        samples = read(reader)
        counters = {k: v for k, v in samples.items() if k[0].endswith(("_total", "_count"))}
        assert len(counters) >= 7
        assert all(counters[key] >= count for key, count in before.items())
        before = counters


def test_it_leaves_out_a_lag_that_nobody_reports(
    counted: CountedStore, site: Site, reader: Client
) -> None:
    counted.count(counted.view(site))
    now = now_ms()
    counted.report(now - 60_000, at=now - 60_000)
    samples = read(reader)
    assert value(samples, "tracker_lag_events", partition="0") is None
    assert 60 <= (value(samples, "tracker_data_age_seconds") or 0) < 70
    assert value(samples, "tracker_marker_offset", partition="0") == 1


def test_it_tells_the_version(counted: CountedStore, reader: Client) -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert value(read(reader), "tracker_build_info", version=version) == 1


def test_every_metric_is_described_there_and_in_the_specification(
    counted: CountedStore, reader: Client
) -> None:
    families = list(text_string_to_metric_families(reader.get("/metrics").content.decode()))
    assert all(len(family.documentation) > 10 for family in families)
    named = {f.name + ("_total" if f.type == "counter" else "") for f in families}
    section = SPEC.split("Metrics\n")[1].split("\n## ")[0]
    assert set(re.findall(r"^\| `(tracker_\w+)", section, re.MULTILINE)) == named
    assert {reading.name for reading in metrics.READINGS} <= named


# --- While a part is away --------------------------------------------------------------


def test_it_answers_while_redis_is_away(mortal_store: Valkey, site: Site, reader: Client) -> None:
    mortal_store.stop()
    samples = read(reader)
    assert value(samples, "tracker_up", part="redis") == 0
    assert value(samples, "tracker_up", part="database") == 1
    assert value(samples, "tracker_archive_segments", state="failed") == 0
    assert value(samples, "tracker_dead_letters") == 3
    mortal_store.start()
    assert value(read(reader), "tracker_up", part="redis") == 1


def test_it_answers_while_kafka_is_away(
    counted: CountedStore, site: Site, reader: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away() -> int:
        raise LogUnavailable("gone")

    monkeypatch.setattr(scrape, "dead_letters", away)
    count_some(counted, site)
    samples = read(reader)
    assert value(samples, "tracker_up", part="kafka") == 0
    assert value(samples, "tracker_dead_letters") is None
    assert value(samples, "tracker_marker_offset", partition="0") == 5


def test_it_answers_while_the_segments_can_not_be_read(
    counted: CountedStore, site: Site, reader: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(topic: str) -> None:
        raise OperationalError

    monkeypatch.setattr(ArchiveProgress, "read", away)
    count_some(counted, site)
    samples = read(reader)
    assert value(samples, "tracker_up", part="database") == 0
    assert value(samples, "tracker_marker_offset", partition="0") == 5


def test_it_says_that_no_key_can_be_checked_without_the_database(
    reader: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(text: str) -> None:
        raise OperationalError

    monkeypatch.setattr("dashboard.authentication._find", away)
    response = reader.get("/metrics")
    assert response.status_code == 503
    assert b"The database does not answer" in response.content


@pytest.fixture
def producer(embedded_servers: Servers) -> Iterator[PageViewProducer]:
    producer = PageViewProducer(producer_settings(embedded_servers, make_topic(embedded_servers)))
    yield producer
    producer.close()


def test_it_counts_dead_letters_in_kafka(
    embedded_servers: Servers, producer: PageViewProducer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    dead = f"{producer._settings.topic}.dead"
    monkeypatch.setattr(scrape, "process_producer", lambda: producer)
    log = Log(embedded_servers.bootstrap_servers, dead, 5.0)
    monkeypatch.setattr(scrape, "_dead_letter_log", lambda: log)
    assert scrape.dead_letters() == 0
    writer = Producer({"bootstrap.servers": embedded_servers.bootstrap_servers})
    for _ in range(2):
        writer.produce(dead, b"?")
    assert writer.flush(10) == 0
    assert scrape.dead_letters() == 2


# --- Requests --------------------------------------------------------------------------


def requests(outcome: str, field: str = "") -> float:
    return (
        metrics.PROCESS.get_sample_value(
            "tracker_track_requests_total", {"outcome": outcome, "field": field}
        )
        or 0.0
    )


@pytest.fixture
def door(
    counted: CountedStore, site: Site, producer: PageViewProducer, monkeypatch: pytest.MonkeyPatch
) -> Door:
    door = Door(acceptance_of(site.public_id), producer)
    monkeypatch.setattr("ingest.views.process_door", lambda: door)
    return door


def acks() -> float:
    return metrics.PROCESS.get_sample_value("tracker_ack_seconds_count") or 0.0


@pytest.mark.usefixtures("door")
def test_it_counts_what_was_accepted_and_how_long_that_took(reader: Client) -> None:
    before, timed = requests("accepted"), acks()
    assert post(EVENT).status_code == 202
    batch = {"events": [EVENT, {"page_url": 1}]}
    assert post(batch, "/api/v1/track/batch").status_code == 202
    assert (requests("accepted"), acks()) == (before + 2, timed + 2)
    assert value(read(reader), "tracker_ack_seconds_count") == timed + 2


@pytest.mark.usefixtures("door")
@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"page_url": "home"}, "page_url"),
        ({}, "page_url"),
        (EVENT | {"site": "nowhere"}, "site"),
        (EVENT | {"timestamp": "soon"}, "timestamp"),
        (EVENT | {"props": {"a": {}}}, "props"),
        ("no json", "body"),
    ],
)
def test_it_counts_what_was_refused_by_field(body: Any, field: str) -> None:
    before, timed = requests("refused", field), acks()
    assert post(body).status_code in (400, 403)
    assert (requests("refused", field), acks()) == (before + 1, timed)


@pytest.mark.usefixtures("door")
def test_what_a_sender_writes_is_no_label() -> None:
    metrics.count_request(400, "secret-of-a-sender", 0.0)
    assert requests("refused", "other") >= 1
    before = requests("refused", "Content-Type")
    assert post("<a/>", content_type="application/xml").status_code == 415
    assert requests("refused", "Content-Type") == before + 1
    before = requests("refused", "request")
    assert Client().get("/api/v1/track").status_code == 405
    assert requests("refused", "request") == before, "only what could be an event counts"


def test_it_counts_what_kafka_could_not_take(
    door: Door, producer: PageViewProducer, reader: Client
) -> None:
    producer.close()
    before = requests("unavailable")
    assert post(EVENT).status_code == 503
    assert requests("unavailable") == before + 1


def test_it_counts_what_was_throttled(door: Door) -> None:
    door.limits = Limits(address=TokenBuckets(1, 0, lambda: 0.0))
    before = requests("throttled")
    assert post(EVENT).status_code == 429
    assert requests("throttled") == before + 1


# --- Who may scrape --------------------------------------------------------------------


def test_it_wants_a_key_of_all_sites_or_staff(counted: CountedStore, site: Site) -> None:
    response = Client().get("/metrics")
    assert response.status_code == 401
    assert response["WWW-Authenticate"] == "Bearer"
    assert "API key with all sites" in response.content.decode()
    wrong = Client(headers={"Authorization": "Bearer pvt_nonsense"})
    assert wrong.get("/metrics").status_code == 401
    limited = ApiKey.issue("k", sites=[site])[1]
    client = Client(headers={"Authorization": f"Bearer {limited}"})
    response = client.get("/metrics")
    assert response.status_code == 403
    assert response.content == b"Metrics are for API keys that may read all sites and for staff.\n"


@pytest.mark.parametrize("method", ["options", "post", "delete"])
def test_they_are_only_read(reader: Client, method: str) -> None:
    response = getattr(reader, method)("/metrics")
    assert (response.status_code, response["Content-Type"][:10]) == (405, "text/plain")


@pytest.mark.parametrize(("is_staff", "status"), [(True, 200), (False, 403)])
def test_people_of_the_staff_may_look(counted: CountedStore, is_staff: bool, status: int) -> None:
    client = Client()
    client.force_login(User.objects.create_user("ann", is_staff=is_staff))
    assert client.get("/metrics").status_code == status
