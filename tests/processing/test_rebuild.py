"""Numbers counted anew beside the live ones, and swapped in while counting goes on."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ingest.models import Site
from processing import keys
from processing.archive import Archive
from processing.archive_replay import ArchiveReplay
from processing.calendar import day_number
from processing.counters import HELD, Counters, Range
from processing.deltas import Deltas
from processing.dimensions import ALL, ALL_VISITS
from processing.models import Segment
from processing.object_store import ObjectStore
from processing.rebuild import ABANDONED_MS, Days, NotSwapped, Rebuild, space_of
from processing.rules import SiteRules
from processing.stats import now_ms
from tests.processing.pipeline import SITE, Pipeline, page_view, wait_for

pytestmark = pytest.mark.django_db(transaction=True)
DAY_MS = 86_400_000
OTHER = Site(public_id="other.example", time_zone="UTC")


@pytest.fixture
def archive(pipeline: Pipeline, tmp_path: Path) -> Archive:
    return Archive(pipeline.log, ObjectStore(f"file://{tmp_path}"), 20)


def rebuild_of(
    pipeline: Pipeline, archive: Archive, *sites: Site, days: Days | None = None
) -> Rebuild:
    chosen = list(sites) or [pipeline.site]
    space = space_of(pipeline.topic, chosen, days)
    replay = ArchiveReplay(
        archive,
        Counters(pipeline.client, pipeline.shards, space),
        pipeline.aggregators(),
        7,
        now_ms,
        {site.public_id for site in chosen},
    )
    live = Counters(pipeline.client, pipeline.shards)
    return Rebuild(pipeline.log, replay, live, chosen, days)


def run(rebuild: Rebuild) -> list[tuple[Any, ...]]:
    """Days, views and visitors that changed."""
    for _ in rebuild.count():
        pass
    differences, _ = rebuild.swap()
    rebuild.clear()
    return [(d.site, d.day, d.views, d.visitors) for d in differences]


def archive_half(pipeline: Pipeline, archive: Archive) -> None:
    """Some of the log is archived, the rest is in Kafka only."""
    archive.plan()
    for segment in Segment.objects.filter(state=Segment.State.PLANNED):
        archive.write(segment)


def numbers(pipeline: Pipeline, site: Site, day: date | None = None) -> Any:
    day = day or datetime.now(UTC).date()
    return (
        pipeline.stats.totals(site, day, day),
        pipeline.stats.pages(site, day, day, 100),
        pipeline.stats.live(site, now_ms())["pages"],
    )


def fill(pipeline: Pipeline, archive: Archive) -> None:
    pipeline.send(page_view(f"/{n % 5}", f"v{n % 11}") for n in range(60))
    pipeline.send(page_view("/o", site=OTHER.public_id) for _ in range(10))
    pipeline.send(page_view("/twice", id="same", retryable=True) for _ in range(4))
    pipeline.count_all(74)
    archive_half(pipeline, archive)
    pipeline.send(page_view(f"/{n % 5}", f"w{n % 3}") for n in range(30))
    pipeline.count_all(104)


def falsify(pipeline: Pipeline, site: Site) -> None:
    """What a bug or a hand could have done to the live numbers."""
    day = day_number(datetime.now(UTC).date())
    names = keys.SiteKeys(site.public_id, pipeline.shards)
    pipeline.client.hincrby(names.views(keys.DAY, day), "/1", 1_000)
    pipeline.client.hincrby(names.views(keys.DAY, day), ALL, 1_000)
    pipeline.client.hset(names.views(keys.MINUTE, now_ms() // 60_000), "/bogus", 5)
    pipeline.client.hset(names.views(keys.DAY, 20_200_101), "/bogus", 5)
    pipeline.client.delete(names.page_visitors(day, "/2"))


def test_it_puts_the_right_numbers_in_the_place_of_wrong_ones(
    pipeline: Pipeline, archive: Archive
) -> None:
    fill(pipeline, archive)
    right, other = numbers(pipeline, pipeline.site), numbers(pipeline, OTHER)
    falsify(pipeline, pipeline.site)
    falsify(pipeline, OTHER)
    wrong_other = numbers(pipeline, OTHER)
    day = day_number(datetime.now(UTC).date())
    changed = run(rebuild_of(pipeline, archive))
    assert (SITE, day, (1_091, 91), (14, 14)) in changed
    assert numbers(pipeline, pipeline.site) == right
    assert not list(pipeline.client.scan_iter("*20200101*example.com*"))
    # Nothing but the chosen site is touched, and nothing is left behind.
    assert numbers(pipeline, OTHER) == wrong_other
    assert not list(pipeline.client.scan_iter("rebuild:*"))
    run(rebuild_of(pipeline, archive, OTHER))
    assert numbers(pipeline, OTHER) == other
    pipeline.send([page_view("/after")])
    pipeline.count_all(105)
    assert numbers(pipeline, pipeline.site)[0]["pageviews"] == 92


def test_visits_that_were_lost_go_on_after_it(pipeline: Pipeline, archive: Archive) -> None:
    pipeline.send([page_view("/a", "v1"), page_view("/b", "v2")])
    pipeline.count_all(2)
    archive_half(pipeline, archive)
    today = datetime.now(UTC).date()
    day = keys.SiteKeys(SITE, pipeline.shards).views(keys.DAY, day_number(today))
    pipeline.client.delete(*pipeline.client.scan_iter("*:visits:*"), "{s00}:ids")
    pipeline.client.hincrby(day, ALL_VISITS, 5)
    run(rebuild_of(pipeline, archive))
    pipeline.send([page_view("/c", "v1")])
    pipeline.count_all(3)
    totals = pipeline.stats.totals(pipeline.site, today, today)
    assert (totals["visits"], totals["bounces"]) == (2, 1)
    exits = pipeline.stats.top(pipeline.site, today, today, "exit_page", 9).results
    assert exits == [{"value": "/b", "visits": 1}, {"value": "/c", "visits": 1}]
    # They are dropped one day, as they would have been.
    visits = set(pipeline.client.scan_iter("*:visits:*"))
    assert visits and visits <= set(pipeline.client.zrange("{s00}:ids", 0, -1))


def test_it_changes_nothing_that_is_right(pipeline: Pipeline, archive: Archive) -> None:
    fill(pipeline, archive)
    before = numbers(pipeline, pipeline.site), pipeline.stats.ledger()
    assert run(rebuild_of(pipeline, archive, pipeline.site, OTHER)) == []
    assert (numbers(pipeline, pipeline.site), pipeline.stats.ledger()) == before


def test_it_replaces_only_the_days_that_were_asked_for(
    pipeline: Pipeline, archive: Archive
) -> None:
    now = now_ms()
    pipeline.send(page_view("/a", ts=now - n * DAY_MS) for n in (0, 1, 1, 2))
    pipeline.count_all(4)
    today = datetime.now(UTC).date()
    days = [today - timedelta(days=n) for n in range(3)]
    names = keys.SiteKeys(SITE, 1)
    for day in days:
        pipeline.client.hincrby(names.views(keys.DAY, day_number(day)), ALL, 100)
    yesterday = Days(day_number(days[1]), day_number(days[1]))
    changed = run(rebuild_of(pipeline, archive, days=yesterday))
    assert changed == [(SITE, day_number(days[1]), (102, 2), (1, 1))]
    views = [pipeline.stats.totals(pipeline.site, day, day)["pageviews"] for day in days]
    assert views == [101, 2, 101]


def test_it_counts_under_the_rules_that_a_site_has_now(
    pipeline: Pipeline, archive: Archive
) -> None:
    """Days begin elsewhere after a change of the time zone; a rebuild moves the old ones."""
    late = datetime(2026, 3, 10, 23, 30, tzinfo=UTC)
    pipeline.send([page_view("/a", ts=round(late.timestamp() * 1000))])
    pipeline.count_all(1)
    pipeline.rules[SITE] = SiteRules("Pacific/Auckland")
    site = Site(public_id=SITE, time_zone="Pacific/Auckland")
    assert run(rebuild_of(pipeline, archive, site)) == [
        (SITE, 20260310, (1, 0), (1, 0)),
        (SITE, 20260311, (0, 1), (0, 1)),
    ]


def test_it_counts_bots_as_people_where_the_site_wants_it(
    pipeline: Pipeline, archive: Archive
) -> None:
    pipeline.send(
        page_view(f"/{reason}", f"v{n}", bot=reason)
        for n, reason in enumerate(["datacenter", "datacenter", "crawler", None])
    )
    pipeline.count_all(4)
    archive_half(pipeline, archive)
    today = datetime.now(UTC).date()
    totals = pipeline.stats.totals(pipeline.site, today, today)
    assert (totals["pageviews"], totals["bots"], totals["visits"]) == (1, 3, 1)
    assert pipeline.stats.top(pipeline.site, today, today, "bot_reason", 9).results == [
        {"value": "datacenter", "bots": 2},
        {"value": "crawler", "bots": 1},
    ]
    pipeline.rules[SITE] = SiteRules(people=frozenset({"datacenter"}))
    site = Site(public_id=SITE, time_zone="UTC", bots_as_people="datacenter")
    assert space_of(pipeline.topic, [site], None) != space_of(pipeline.topic, [pipeline.site], None)
    run(rebuild_of(pipeline, archive, site))
    totals = pipeline.stats.totals(pipeline.site, today, today)
    assert (totals["pageviews"], totals["bots"], totals["visits"]) == (3, 1, 3)
    assert pipeline.stats.top(pipeline.site, today, today, "bot_reason", 9).results == [
        {"value": "crawler", "bots": 1},
    ]
    assert totals["visitors"] == 3
    # What comes next is counted so by the consumer too.
    pipeline.send([page_view("/next", "v9", bot="datacenter")])
    pipeline.count_all(5)
    assert pipeline.stats.totals(pipeline.site, today, today)["pageviews"] == 4
    assert pipeline.stats.live(pipeline.site, now_ms())["visitors_now"] >= 1


def test_it_goes_on_where_it_was_stopped(pipeline: Pipeline, archive: Archive) -> None:
    fill(pipeline, archive)
    right = numbers(pipeline, pipeline.site)
    falsify(pipeline, pipeline.site)
    stopped = rebuild_of(pipeline, archive).count()
    first = sum(next(stopped) for _ in range(5))
    del stopped
    rebuild = rebuild_of(pipeline, archive)
    rest = sum(rebuild.count())
    assert first > 0 and rest < 104
    rebuild.swap()
    assert numbers(pipeline, pipeline.site) == right
    rebuild.clear()


def test_it_leaves_everything_as_it_was_when_aborted(pipeline: Pipeline, archive: Archive) -> None:
    fill(pipeline, archive)
    falsify(pipeline, pipeline.site)
    before = set(pipeline.client.scan_iter("*")), numbers(pipeline, pipeline.site)
    rebuild = rebuild_of(pipeline, archive)
    for _ in rebuild.count():
        pass
    rebuild.clear()
    assert (set(pipeline.client.scan_iter("*")), numbers(pipeline, pipeline.site)) == before


def test_it_drops_what_another_one_left_behind_long_ago(
    pipeline: Pipeline, archive: Archive
) -> None:
    fill(pipeline, archive)
    for _ in rebuild_of(pipeline, archive, OTHER).count():
        pass
    left = set(pipeline.client.scan_iter("rebuild:*"))
    name = keys.rebuilds(pipeline.topic)
    spaces: Any = pipeline.client.zrange(name, 0, -1, withscores=True)
    ((space, ms),) = spaces
    for age, stays in ((ABANDONED_MS - 60_000, True), (ABANDONED_MS + 1, False)):
        pipeline.client.zadd(name, {space: ms - age})
        run(rebuild_of(pipeline, archive))
        assert set(pipeline.client.scan_iter("rebuild:*")) == (left if stays else set())
    assert not pipeline.client.exists(name)


@contextmanager
def traffic(pipeline: Pipeline) -> Iterator[list[int]]:
    """A consumer that counts and a sender that sends, until the block ends and all is
    counted; the number sent."""
    sent, done = [0], threading.Event()

    def send() -> None:
        while not done.is_set():
            pipeline.send(page_view(f"/{n % 4}", f"v{n}") for n in range(20))
            sent[0] += 20
            done.wait(0.01)

    consumer = pipeline.consumer(batch_events=50)
    threads = [threading.Thread(target=send), threading.Thread(target=consumer.run)]
    for thread in threads:
        thread.start()
    try:
        yield sent
        done.set()
        threads[0].join()
        wait_for(lambda: pipeline.read() == sent[0], "everything to be counted")
    finally:
        done.set()
        consumer.stop()
        for thread in threads:
            thread.join()


def test_it_swaps_while_counting_goes_on(pipeline: Pipeline, tmp_path: Path) -> None:
    archive = Archive(pipeline.log, ObjectStore(f"file://{tmp_path}"), 5_000)
    with traffic(pipeline) as sent:
        for round_ in range(1, 6):
            wait_for(lambda: pipeline.read() > 200 * round_, "some traffic")  # noqa: B023
            falsify(pipeline, pipeline.site)
            if round_ == 3:
                archive_half(pipeline, archive)
            run(rebuild_of(pipeline, archive))
    totals, pages, _ = numbers(pipeline, pipeline.site)
    assert totals["pageviews"] == sum(page["pageviews"] for page in pages) == sent[0]
    assert totals["visitors"] == 20
    assert {page["path"] for page in pages} == {"/0", "/1", "/2", "/3"}
    ledger = pipeline.stats.ledger()["totals"]
    assert ledger["counted"] == ledger["read"] == sent[0]


def test_it_rebuilds_sites_of_several_shards(pipeline: Pipeline, archive: Archive) -> None:
    pipeline.shards = pipeline.stats.shards = 4
    sites = [Site(public_id=f"s{n}.example", time_zone="UTC") for n in range(6)]
    assert len({keys.shard_of(site.public_id, 4) for site in sites}) > 1
    pipeline.send(page_view(f"/{n}", site=site.public_id) for n in range(9) for site in sites)
    pipeline.count_all(54)
    right = [numbers(pipeline, site) for site in sites]
    for site in sites:
        falsify(pipeline, site)
    run(rebuild_of(pipeline, archive, *sites))
    assert [numbers(pipeline, site) for site in sites] == right


def test_it_may_be_killed_after_the_swap_of_any_shard(pipeline: Pipeline, archive: Archive) -> None:
    pipeline.shards = pipeline.stats.shards = 4
    sites = [Site(public_id=f"s{n}.example", time_zone="UTC") for n in range(6)]
    pipeline.send(
        page_view(f"/{n}", site=site.public_id, id=f"{n}", retryable=True)
        for n in range(9)
        for site in sites
    )
    pipeline.count_all(54)
    archive_half(pipeline, archive)
    right = [numbers(pipeline, site) for site in sites]
    for swapped in range(1, 1 + len({keys.shard_of(site.public_id, 4) for site in sites})):
        killed = rebuild_of(pipeline, archive, *sites)
        list(killed.count())
        swap_shard, done = killed._swap_shard, 0

        def swap_or_die(*arguments: Any) -> Any:
            nonlocal done
            if done == swapped:  # noqa: B023
                raise KeyboardInterrupt
            done += 1
            return swap_shard(*arguments)  # noqa: B023

        killed._swap_shard = swap_or_die  # type: ignore[assignment,method-assign]
        with suppress(KeyboardInterrupt):
            killed.swap()
        assert [numbers(pipeline, site) for site in sites] == right
        assert run(rebuild_of(pipeline, archive, *sites)) == []
        assert [numbers(pipeline, site) for site in sites] == right


def test_it_does_not_swap_when_the_live_numbers_moved_on(
    pipeline: Pipeline, archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(pipeline, archive)
    rebuild = rebuild_of(pipeline, archive)
    for _ in rebuild.count():
        pass
    falsify(pipeline, pipeline.site)
    before = numbers(pipeline, pipeline.site)
    # As if the hold had run out while the last events were counted.
    monkeypatch.setattr(rebuild, "_reach", lambda *_: pipeline.client.delete(keys.hold(0)))
    with pytest.raises(NotSwapped, match="took too long"):
        rebuild.swap()
    monkeypatch.setattr(
        rebuild, "_reach", lambda *_: pipeline.client.hincrby(keys.marker(0, _id(pipeline)), "0", 1)
    )
    with pytest.raises(NotSwapped):
        rebuild.swap()
    assert numbers(pipeline, pipeline.site) == before


def _id(pipeline: Pipeline) -> str:
    return pipeline.log.describe().id


def test_nothing_is_applied_to_a_held_shard(pipeline: Pipeline) -> None:
    counters = Counters(pipeline.client, 1)
    pipeline.client.set(keys.hold(0), "x")
    nothing = Deltas()
    assert counters.apply(0, "t", [Range(0, 0, 1)], nothing).result == HELD
    pipeline.client.delete(keys.hold(0))
    assert counters.apply(0, "t", [Range(0, 0, 1)], nothing).result == "applied"
