"""What became of an event, asked of real logs, stores and archives."""

from pathlib import Path
from typing import Any

import pytest

from ingest.models import Site
from processing.models import Segment
from processing.receipts import Fate, Place, Receipts, UnknownReceipt
from processing.rules import SiteRules
from processing.stats import now_ms
from tests.processing.pipeline import SITE, Pipeline, page_view
from tests.processing.wiring import add_sites, archive_all, wire

pytestmark = pytest.mark.django_db
apache = pytest.mark.parametrize("servers", ["apache"], indirect=True)
embedded = pytest.mark.parametrize("servers", ["embedded"], indirect=True)

YEAR_MS = 365 * 86_400_000


@pytest.fixture(autouse=True)
def wired(pipeline: Pipeline, settings: Any, tmp_path: Path) -> None:
    wire(pipeline, settings, tmp_path)
    add_sites(pipeline, {SITE: SiteRules("UTC", 30)})


def find(partition: int, offset: int, log: str | None = None) -> Fate:
    return Receipts.from_settings().find(Place(partition, offset, log))


def test_it_tells_every_outcome_before_and_after_archiving(pipeline: Pipeline) -> None:
    now = now_ms()
    events = [
        page_view("/a", id="one", retryable=True),
        page_view("/a", id="one", retryable=True),
        page_view("/b", id="own"),
        page_view("/b", id="one", retryable=True),
        page_view("/c", bot="crawler"),
        page_view("/d", ts=now - YEAR_MS, received=now),
        b"unreadable",
        page_view("/e"),
    ]
    expected = ["counted", "duplicate", "counted", "duplicate", "bot", "late", "invalid", "counted"]
    pipeline.send(events, partition=1)
    assert {find(1, offset).outcome for offset in range(8)} == {"waiting"}
    pipeline.count_all(8)
    assert [find(1, offset).outcome for offset in range(8)] == expected
    archive_all()
    fates = [find(1, offset) for offset in range(8)]
    assert [fate.outcome for fate in fates] == expected
    (segment,) = Segment.objects.all()
    archived = [fate.archived and fate.archived.as_json() for fate in fates]
    assert archived == [{"object": segment.key, "row": row} for row in range(8)]
    read = [(f.page_view.id, f.page_view.path) for f in fates[:3] if f.page_view]
    assert read == [("one", "/a"), ("one", "/a"), ("own", "/b")]
    assert fates[6].page_view is None


@embedded
def test_a_bot_that_counts_as_people_is_counted(pipeline: Pipeline) -> None:
    Site.objects.filter(public_id=SITE).update(bots_as_people="crawler")
    pipeline.rules[SITE] = SiteRules("UTC", 30, frozenset({"crawler"}))
    pipeline.send([page_view(bot="crawler"), page_view(bot="datacenter")], partition=0)
    pipeline.count_all(2)
    assert [find(0, offset).outcome for offset in range(2)] == ["counted", "bot"]


def test_it_does_not_know_what_was_never_logged(pipeline: Pipeline) -> None:
    pipeline.send([page_view()] * 3, partition=0)
    for place in [(0, 3), (0, 10**17), (1, 0), (2, 0), (999, 0)]:
        with pytest.raises(UnknownReceipt, match=f"{place[0]}-{place[1]}"):
            find(*place)
    with pytest.raises(UnknownReceipt):
        find(0, 0, "A" * 22)
    archive_all()
    with pytest.raises(UnknownReceipt):
        find(0, 3)


@apache
def test_it_tells_what_expired(pipeline: Pipeline) -> None:
    pipeline.send((page_view() for _ in range(10)), partition=0)
    pipeline.count_all(10)
    pipeline.expire(0, before=7)
    assert find(0, 6).outcome == "expired"
    assert find(0, 7).outcome == "counted"


def test_it_tells_of_a_log_that_is_gone(pipeline: Pipeline) -> None:
    pipeline.send((page_view("/old") for _ in range(3)), partition=0)
    pipeline.count_all(3)
    old = pipeline.log.describe().id
    archive_all()
    pipeline.make_topic_again()
    again = Pipeline(pipeline.servers, pipeline.topic, pipeline.client)
    again.send([page_view("/new")], partition=0)
    fate = find(0, 0, old)
    assert (fate.outcome, fate.page_view and fate.page_view.path) == ("counted", "/old")
    assert find(0, 0).outcome == "waiting"
    Segment.objects.update(state=Segment.State.LOST)
    assert find(0, 0, old).outcome == "expired"


@embedded
def test_it_notes_a_repeated_import_as_one_range(pipeline: Pipeline) -> None:
    lines = [page_view(id=str(n), retryable=True) for n in range(500)]
    pipeline.send(lines, partition=0)
    pipeline.send(lines, partition=0)
    consumer = pipeline.consumer(batch_events=70)
    pipeline.run_until(consumer, lambda: pipeline.read() == 1_000)
    assert noted(pipeline) == [b"500-999"]
    assert {find(0, offset).outcome for offset in (500, 750, 999)} == {"duplicate"}
    assert find(0, 499).outcome == "counted"


@embedded
def test_it_leads_a_range_over_what_other_shards_count(pipeline: Pipeline, settings: Any) -> None:
    pipeline.shards = settings.REDIS_SHARDS = 2
    pipeline.stats.shards = 2
    others = [page_view(site="ny.example") for _ in range(4)]
    again = [page_view(id="one", retryable=True) for _ in range(4)]
    pipeline.send((event for pair in zip(again, others, strict=True) for event in pair), 0)
    pipeline.count_all(8)
    assert noted(pipeline) == [b"2-6"]
    outcomes = [find(0, offset).outcome for offset in range(8)]
    assert outcomes == ["counted", "counted", *["duplicate", "counted"] * 3]


def noted(pipeline: Pipeline) -> list[bytes]:
    client: Any = pipeline.client
    names = list(client.scan_iter("*:duplicates:*"))
    return [run for name in names for run in client.zrange(name, 0, -1)]


@embedded
def test_it_reads_one_event_however_far_the_log_goes(pipeline: Pipeline) -> None:
    pipeline.send((page_view(f"/{n}") for n in range(5_000)), partition=0)
    for offset in (0, 1_234, 4_999):
        found = find(0, offset).page_view
        assert found is not None and found.path == f"/{offset}"
