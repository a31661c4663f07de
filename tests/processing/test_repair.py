"""What the live store lost comes back from the archive and the log, to the same numbers."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from processing.archive import Archive
from processing.consumer import PageViewConsumer
from processing.models import Segment
from processing.object_store import ObjectStore
from processing.stats import now_ms
from tests.processing.pipeline import Pipeline, page_view

pytestmark = pytest.mark.django_db
apache = pytest.mark.parametrize("servers", ["apache"], indirect=True)


@pytest.fixture
def archive(pipeline: Pipeline, tmp_path: Path) -> Archive:
    return Archive(pipeline.log, ObjectStore(f"file://{tmp_path}"), 20)


def events(n: int) -> list[Any]:
    """Some of everything: pages, visitors, duplicates and what is no page view."""
    some: list[Any] = [page_view(f"/{k % 5}", f"v{k % 11}") for k in range(n)]
    some += [page_view("/twice", id="same", retryable=True) for _ in range(5)]
    return [*some, b"nonsense"]


def archive_all(archive: Archive) -> None:
    archive.plan()
    for segment in Segment.objects.filter(state=Segment.State.PLANNED):
        archive.write(segment)


def numbers(pipeline: Pipeline) -> dict[str, Any]:
    """All that is to be the same afterwards."""
    day = datetime.now(UTC).date()
    ledger = pipeline.stats.ledger()
    return {
        "totals": pipeline.stats.totals(pipeline.site, day, day),
        "pages": pipeline.stats.pages(pipeline.site, day, day, 100),
        "ledger": ledger["totals"],
        "earlier": ledger["earlier_logs"],
    }


def count_until(pipeline: Pipeline, archive: Archive, condition: Callable[[], bool]) -> None:
    pipeline.run_until(pipeline.consumer(archive, batch_events=7), condition)


def expire_all(pipeline: Pipeline) -> None:
    for partition, end in pipeline.log.ends(2).items():
        if end:
            pipeline.expire(partition, before=end)


@contextmanager
def watched_states(pipeline: Pipeline) -> Iterator[set[str]]:
    """Every state that a reader saw meanwhile."""
    seen: set[str] = set()
    done = threading.Event()

    def watch() -> None:
        while not done.is_set():
            seen.add(pipeline.stats.as_of(now_ms())["state"])

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield seen
    finally:
        done.set()
        watcher.join()


def test_it_counts_an_emptied_store_again(pipeline: Pipeline, archive: Archive) -> None:
    """Of an earlier log, which only the archive has, and of the log that goes on."""
    pipeline.send(events(60))
    count_until(pipeline, archive, lambda: pipeline.read() == 66)
    archive_all(archive)
    pipeline.make_topic_again()
    pipeline.send(events(30))
    count_until(pipeline, archive, lambda: pipeline.read() == 36)
    before = numbers(pipeline)
    assert before["ledger"]["duplicate"] + before["earlier"]["duplicate"] == 9
    pipeline.client.flushall()
    with watched_states(pipeline) as seen:
        count_until(pipeline, archive, lambda: numbers(pipeline) == before)
    assert "rebuilding" in seen
    assert pipeline.stats.as_of(now_ms())["state"] != "rebuilding"


@apache
def test_it_goes_on_counting_where_the_log_expired_uncounted(
    pipeline: Pipeline, archive: Archive, caplog: pytest.LogCaptureFixture
) -> None:
    pipeline.send(events(50))
    archive_all(archive)
    expire_all(pipeline)
    pipeline.send(events(20))
    count_until(pipeline, archive, lambda: pipeline.read() == 82)
    ledger = pipeline.stats.ledger()["totals"]
    assert (ledger["counted"], ledger["duplicate"], ledger["invalid"]) == (71, 9, 2)
    assert ledger["expired"] == 0
    assert not [r for r in caplog.records if r.levelno >= logging.ERROR]


@apache
def test_it_goes_on_where_it_was_killed(pipeline: Pipeline, archive: Archive) -> None:
    pipeline.send(events(90))
    archive_all(archive)
    expire_all(pipeline)
    counted: list[int] = []
    while pipeline.read() < 96:
        stop_after_a_step(pipeline.consumer(archive, batch_events=7), pipeline)
        counted.append(pipeline.read())
    assert len(counted) > 5 and counted == sorted(counted)
    assert pipeline.stats.ledger()["totals"]["counted"] == 91


@apache
def test_a_planner_whose_clock_is_behind_makes_nothing_expire(
    pipeline: Pipeline, archive: Archive, tmp_path: Path
) -> None:
    pipeline.send((page_view() for _ in range(30)), partition=0)
    archive_all(archive)
    pipeline.send((page_view() for _ in range(30)), partition=0)
    behind = datetime.now(UTC) - timedelta(minutes=4)
    archive_all(Archive(archive.log, archive.store, 20, lambda: behind))
    expire_all(pipeline)
    count_until(pipeline, archive, lambda: pipeline.read() == 60)
    assert pipeline.stats.ledger()["totals"]["expired"] == 0


def stop_after_a_step(consumer: PageViewConsumer, pipeline: Pipeline) -> None:
    """As if it died: it is told to stop once a batch more is counted."""
    before = pipeline.read()
    apply = consumer._counters.apply

    def stopping(*arguments: Any) -> Any:
        consumer.stop()
        return apply(*arguments)

    consumer._counters.apply = stopping  # type: ignore[assignment,method-assign]
    pipeline.run_until(consumer, lambda: pipeline.read() > before)


@apache
def test_it_tells_what_is_neither_in_the_log_nor_in_the_archive(
    pipeline: Pipeline, archive: Archive, caplog: pytest.LogCaptureFixture
) -> None:
    pipeline.send((page_view() for _ in range(30)), partition=0)
    archive.plan()
    expire_all(pipeline)
    pipeline.send((page_view() for _ in range(5)), partition=0)
    count_until(pipeline, archive, lambda: pipeline.read() == 5)
    ledger = pipeline.stats.ledger()["totals"]
    assert (ledger["expired"], ledger["counted"], ledger["read"]) == (30, 5, 5)
    assert "neither in Kafka nor in the archive" in caplog.text


@apache
def test_it_waits_for_an_archive_that_is_away(
    pipeline: Pipeline, archive: Archive, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pipeline.send((page_view() for _ in range(30)), partition=0)
    archive_all(archive)
    expire_all(pipeline)
    objects, aside = tmp_path / "pageviews", tmp_path / "aside"
    objects.rename(aside)

    def bring_back() -> bool:
        if "the archive can't be read now" in caplog.text and aside.exists():
            assert pipeline.read() == 0
            aside.rename(objects)
        return pipeline.read() == 30

    count_until(pipeline, archive, bring_back)
    assert pipeline.stats.ledger()["totals"]["expired"] == 0
