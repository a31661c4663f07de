"""Recounting real archives and logs while real consumers count."""

import itertools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.core.management import CommandError, call_command

from processing.models import Segment
from processing.reconciliation import Findings, Reconciliation
from processing.rules import SiteRules
from processing.stats import now_ms
from tests.processing.pipeline import SITE, Pipeline, page_view, wait_for
from tests.processing.wiring import add_sites, archive_all, wire

pytestmark = pytest.mark.django_db
embedded = pytest.mark.parametrize("servers", ["embedded"], indirect=True)
apache = pytest.mark.parametrize("servers", ["apache"], indirect=True)

DAY_MS = 86_400_000
# Of the site that most tests send to: there it is tomorrow from noon on.
ZONE = "Pacific/Auckland"
RULES = {
    SITE: SiteRules(ZONE, 30),
    "ny.example": SiteRules("America/New_York"),
    "kathmandu.example": SiteRules("Asia/Kathmandu", 400, frozenset({"crawler"})),
}


@pytest.fixture(autouse=True)
def wired(pipeline: Pipeline, settings: Any, tmp_path: Path) -> None:
    wire(pipeline, settings, tmp_path)
    add_sites(pipeline, RULES)


def reconcile(**options: Any) -> Findings:
    return Reconciliation.from_settings().run(**options)


def differences(**options: Any) -> list[str]:
    return [str(difference) for difference in reconcile(**options).differences]


@contextmanager
def running(run: Callable[[], None], stop: Callable[[], None]) -> Iterator[None]:
    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stop()
        thread.join()


def mixed_events(count: int, seed: int = 0) -> list[Any]:
    """Of every kind: several sites, days, times of arrival, repeats, late ones, bots."""
    now = now_ms()
    sites = [*RULES, "unknown.example"]
    events: list[Any] = []
    for n in range(seed, seed + count):
        ago = [0, 60_000, 3_600_000, 20 * DAY_MS, 100 * DAY_MS][n % 5]
        events.append(
            page_view(
                f"/{n % 7}",
                f"v{n % 50}",
                site=sites[n % 4],
                ts=now - ago - n,
                received=now,
                id=f"id{n % 40 if n % 3 else n}",
                retryable=n % 2 == 0,
                bot=("crawler", "datacenter")[n % 2] if n % 11 == 0 else None,
                name="signup" if n % 13 == 0 else "pageview",
                browser=("Firefox", "Safari", None)[n % 3],
                browser_version="140" if n % 2 else None,
                country="DE" if n % 4 else None,
                props={"plan": "pro", "step": n % 3, "ok": True} if n % 6 == 0 else None,
            )
        )
        if n % 17 == 0:
            events.append(b"unreadable")
    return events


def test_it_finds_no_difference_in_events_of_every_kind(pipeline: Pipeline) -> None:
    first = mixed_events(150)
    pipeline.send(first)
    archive_all()
    second = mixed_events(100, seed=100)
    pipeline.send(second)
    pipeline.count_all(len(first) + len(second))
    findings = reconcile()
    assert findings.differences == [] and findings.unreadable == []
    assert findings.events == len(first) + len(second)
    assert findings.waiting == 0
    totals = pipeline.stats.ledger()["totals"]
    assert all(totals[name] > 0 for name in ("counted", "duplicate", "bot", "late", "invalid"))
    assert findings.compared > 300


def test_it_recounts_up_to_the_markers_only(pipeline: Pipeline) -> None:
    pipeline.send(page_view() for _ in range(20))
    pipeline.count_all(20)
    pipeline.send(page_view() for _ in range(7))
    findings = reconcile()
    assert (findings.events, findings.waiting, findings.differences) == (20, 7, [])


# --- While counting goes on ------------------------------------------------------------


def test_it_is_right_while_a_consumer_counts(pipeline: Pipeline) -> None:
    pipeline.send(mixed_events(300))
    archive_all()
    sent = itertools.count(1)
    stop = threading.Event()

    def send() -> None:
        while not stop.wait(0.1):
            pipeline.send(mixed_events(100, seed=next(sent) * 100))

    consumer = pipeline.consumer(batch_events=37)
    with running(consumer.run, consumer.stop):
        with running(send, stop.set):
            wait_for(lambda: pipeline.read() > 300, "counting to begin")
            runs = [reconcile() for _ in range(6)]
        assert [run.differences for run in runs] == [[]] * 6
        assert runs[0].events < runs[-1].events, "events were counted meanwhile"
        ends = sum(pipeline.log.ends(2).values())
        wait_for(lambda: pipeline.read() == ends, "all to be counted")
    findings = reconcile()
    assert (findings.events, findings.waiting, findings.differences) == (ends, 0, [])


def test_it_is_right_after_kills(pipeline: Pipeline, migrated_database: str) -> None:
    """The killed processes know no sites, so these events are of none."""
    sent = 20_000
    pipeline.send(
        page_view(f"/{n % 9}", f"v{n % 99}", site="killed.example", id=f"{n % 900}", retryable=True)
        for n in range(sent)
    )
    for _ in range(2):
        with pipeline.process(migrated_database, CONSUMER_BATCH_EVENTS="100") as process:
            before = pipeline.read()
            wait_for(lambda: pipeline.read() > before, "progress")  # noqa: B023
            process.kill()
            process.wait()
        assert pipeline.read() < sent, "it was counted before it could be killed"
        assert differences() == []
    pipeline.count_all(sent)
    findings = reconcile()
    assert (findings.events, findings.waiting, findings.differences) == (sent, 0, [])


def test_it_recounts_logs_that_are_gone(pipeline: Pipeline) -> None:
    again = [page_view("/both", id=f"{n}", retryable=True) for n in range(30)]
    pipeline.send(again)
    pipeline.count_all(30)
    archive_all()
    pipeline.make_topic_again()
    second = Pipeline(pipeline.servers, pipeline.topic, pipeline.client, rules=RULES)
    second.send(again + mixed_events(50))
    second.count_all(80 + 3)
    totals = second.stats.ledger()["totals"]
    assert totals["duplicate"] >= 30
    findings = reconcile()
    assert (findings.events, findings.differences) == (113, [])


@embedded
def test_it_believes_either_partition_of_a_repeated_id(pipeline: Pipeline) -> None:
    """The one that arrived later was counted first."""
    now = now_ms()
    early, late = (
        page_view("/", visitor, id="x", retryable=True, ts=now - 9_000, received=now - ago)
        for visitor, ago in (("v1", 5_000), ("v2", 1_000))
    )
    pipeline.send([late], partition=1)
    pipeline.count_all(1)
    pipeline.send([early], partition=0)
    pipeline.count_all(2)
    assert differences() == []
    (name,) = pipeline.client.scan_iter("*:duplicates:*")
    pipeline.client.delete(name)
    assert any("ledger" in line for line in differences())


@embedded
@pytest.mark.parametrize("command", [["--site", SITE], []], ids=["one site", "all sites"])
def test_a_rebuild_believes_it_too(pipeline: Pipeline, command: list[str]) -> None:
    """Else the site's pages would be those of one copy, and the ledger that of the other."""
    now = now_ms()
    for number, (first, second) in enumerate([(0, 1), (1, 0)]):
        for at, partition in enumerate((first, second)):
            copy = page_view(f"/{number}/{partition}", f"v{partition}", id=f"{number}",
                             retryable=True, received=now - 5_000 + 1_000 * partition)  # fmt: skip
            pipeline.send([copy], partition=partition)
            pipeline.count_all(2 * number + at + 1)
    site, today = pipeline.site_in(ZONE), datetime.now(ZoneInfo(ZONE)).date()
    before = pipeline.stats.pages(site, today, today, 9)
    assert [row["path"] for row in before] == ["/0/0", "/1/1"]
    call_command("rebuild", *command)
    assert pipeline.stats.pages(site, today, today, 9) == before
    assert differences() == []


@apache
def test_it_names_what_cannot_be_recounted(pipeline: Pipeline) -> None:
    pipeline.send([page_view()] * 10, partition=0)
    pipeline.count_all(10)
    pipeline.expire(0, before=4)
    findings = reconcile()
    log = pipeline.log.describe().id
    assert findings.unreadable == [
        f"Offsets 0 to 3 of log {log}, partition 0, are neither in the archive nor in Kafka."
    ]
    lines = [str(difference) for difference in findings.differences]
    assert f"ledger of log {log}, partition 0, counted: Redis 10, recount 6" in lines


@apache
def test_it_agrees_about_what_expired_before_it_was_counted(pipeline: Pipeline) -> None:
    pipeline.send([page_view()] * 10, partition=0)
    pipeline.expire(0, before=4)
    pipeline.run_until(pipeline.consumer(), lambda: pipeline.read() == 6)
    assert reconcile().differences == []


# --- Planted differences ---------------------------------------------------------------


@pytest.fixture
def counted(pipeline: Pipeline) -> dict[str, int]:
    """Ten views of /a by five visitors at one moment, which arrived at another; the keys'
    buckets of these moments."""
    arrived = now_ms()
    fields: dict[str, Any] = {"site": "ny.example", "ts": arrived - 3_600_000, "received": arrived}
    pipeline.send([page_view("/a", f"v{n % 5}", **fields) for n in range(10)], partition=0)
    pipeline.count_all(10)
    assert differences() == []
    found = {"second": arrived // 1_000 % 60}
    for name in pipeline.client.scan_iter("{s00}:ny.example:*:*"):
        period, bucket, *rest = name.decode().split(":")[2:]
        if not rest and bucket.isdigit():
            found[period] = int(bucket)
    return found


def plant(pipeline: Pipeline, text: str, counted: dict[str, int]) -> None:
    log = pipeline.log.describe().id
    client: Any = pipeline.client
    client.execute_command(
        *text.format(log=log, site="{s00}:ny.example", tag="{s00}", **counted).split()
    )


PLANTED = [
    ("HINCRBY {site}:m:{m} /a 1", "/a, minute", "page views: Redis 11, recount 10"),
    ("HINCRBY {site}:h:{h} * -2", "all pages, hour", "page views: Redis 8, recount 10"),
    ("HSET {site}:d:{d} /bogus 3", "/bogus, day", "page views: Redis 3, recount 0"),
    ("HDEL {site}:d:{d} /a", "/a, day", "page views: Redis 0, recount 10"),
    ("DEL {site}:m:{m}", "all pages, minute", "page views: Redis 0, recount 10"),
    ("DEL {site}:d:{d}:v", "all pages, day", "visitors: Redis 0, recount 5"),
    ("PFADD {site}:d:{d}:v:/a z", "/a, day", "visitors: Redis 6, recount 5"),
    ("HSET {site}:d:20200229 /x 1", "/x, day 2020-02-29", "page views: Redis 1, recount 0"),
    ("HINCRBY {site}:m:{m} *v 1", "all pages, minute", "visits: Redis 6, recount 5"),
    ("HINCRBY {site}:h:{h} *o 1", "all pages, hour", "bounces: Redis 1, recount 0"),
    ("HINCRBY {site}:d:{d} *d 9", "all pages, day", "milliseconds of visits: Redis 9, recount 0"),
    ("HSET {site}:d:{d} *b 3", "all pages, day", "page views of bots: Redis 3, recount 0"),
    ("HSET {site}:d:{d} #/a 3", "/a, day", "page views of bots: Redis 3, recount 0"),
    ("HSET {site}:h:{h} ?crawler 3", "bot_reason crawler, hour", "page views of bots: Redis 3"),
    ("HDEL {site}:d:{d} </a", "entry_page /a, day", "visits: Redis 0, recount 5"),
    ("HINCRBY {site}:h:{h} >/a -1", "exit_page /a, hour", "visits: Redis 4, recount 5"),
    ("HSET {site}:h:{h} bLynx 2", "browser Lynx, hour", "page views: Redis 2, recount 0"),
    ("HSET {site}:d:{d} ~b 2", "browser (other), day", "page views: Redis 2, recount 0"),
    ("HSET {site}:d:{d} eplay 2", "event play, day", "events: Redis 2, recount 0"),
    ("HINCRBY {site}:ledger:{ledger} counted 2", ", counted", "Redis 12, recount 10"),
    ("HSET {site}:ledger:{ledger} bot 4", ", bot", "Redis 4, recount 0"),
    ("DEL {site}:ledger:{ledger}", ", counted", "Redis 0, recount 10"),
    ("HSET {site}:ledger:20200229 late 1", "ledger of the day 2020-02-29, late", "Redis 1"),
    ("HINCRBY {site}:live:{live} /a -1", "/a, live minute", "page views: Redis 9, recount 10"),
    ("HDEL {site}:live:{live} *", "all pages, live minute", "page views: Redis 0, recount 10"),
    ("HINCRBY {site}:live:{live} @{second:02d} 1", "in second", "Redis 11, recount 10"),
    ("DEL {site}:live:{live}", "/a, live minute", "page views: Redis 0, recount 10"),
    ("HINCRBY {tag}:ledger:{log} 0:counted 1", "partition 0, counted", "Redis 11, recount 10"),
    ("HINCRBY {tag}:ledger:{log} 1:late 2", "partition 1, late", "Redis 2, recount 0"),
    ("HINCRBY {tag}:marker:{log} 0 -3", "partition 0, counted", "Redis 10, recount 7"),
    ("HINCRBY {tag}:marker:{log} 0 3", "offsets without an event", "Redis 0, recount 3"),
]


@embedded
def test_it_finds_what_was_planted(pipeline: Pipeline, counted: dict[str, int]) -> None:
    client: Any = pipeline.client
    right = {key: client.dump(key) for key in client.scan_iter()}
    for command, place, numbers in PLANTED:
        plant(pipeline, command, counted)
        lines = differences()
        assert any(place in line and numbers in line for line in lines), (command, lines)
        client.flushall()
        for key, value in right.items():
            client.restore(key, 0, value)
        assert differences() == []


@embedded
def test_it_prints_differences_and_fails(pipeline: Pipeline, counted: dict[str, int]) -> None:
    out = StringIO()
    call_command("reconcile", stdout=out)
    assert out.getvalue() == (
        "10 events recounted, 31 numbers compared, 0 differences; 0 events wait to be counted.\n"
    )
    plant(pipeline, "HINCRBY {site}:m:{m} /a 1", counted)
    out = StringIO()
    with pytest.raises(CommandError, match="differ in 1 numbers"):
        call_command("reconcile", stdout=out)
    line, summary = out.getvalue().splitlines()
    minute = on_the_clock(counted["m"])
    assert line == f"ny.example, /a, minute {minute}, page views: Redis 11, recount 10"
    assert "1 differences" in summary


def on_the_clock(minute: int) -> str:
    local = datetime.fromtimestamp(minute * 60, UTC).astimezone(ZoneInfo("America/New_York"))
    return local.isoformat(" ", timespec="minutes")


@embedded
def test_it_names_what_differs_by_arrival(pipeline: Pipeline, counted: dict[str, int]) -> None:
    """In a ledger of a partition, one of a site's day, and a live minute."""
    plant(pipeline, "HINCRBY {tag}:ledger:{log} 0:counted -1", counted)
    plant(pipeline, "HINCRBY {site}:ledger:{ledger} duplicate 3", counted)
    plant(pipeline, "HINCRBY {site}:live:{live} @{second:02d} 1", counted)
    out = StringIO()
    with pytest.raises(CommandError, match="differ in 3 numbers") as failure:
        call_command("reconcile", stdout=out)
    assert failure.value.returncode == 1
    log, day = pipeline.log.describe().id, str(counted["ledger"])
    minute, second = on_the_clock(counted["live"]), f"{counted['second']:02d}"
    assert out.getvalue().splitlines()[:-1] == [
        f"ny.example, ledger of the day {day[:4]}-{day[4:6]}-{day[6:]}, duplicate: "
        "Redis 3, recount 0",
        f"ny.example, all pages in second {second}, live minute {minute}, page views: "
        "Redis 11, recount 10",
        f"ledger of log {log}, partition 0, counted: Redis 9, recount 10",
    ]


@embedded
def test_it_compares_full_buckets_within_their_bound(pipeline: Pipeline, settings: Any) -> None:
    """12 values are kept of 300; the thirteenth most frequent may lack a thirteenth of all."""
    settings.TOP_VALUES = pipeline.most_values = 12
    now = now_ms()
    paths = [f"/{n % 3 if n % 2 else n}" for n in range(600)]
    pipeline.send(
        page_view(path, f"v{n % 40}", ts=now, received=now) for n, path in enumerate(paths)
    )
    consumer = pipeline.consumer(batch_events=37)
    pipeline.run_until(consumer, lambda: pipeline.read() == 600)
    assert differences() == []
    today = datetime.now(ZoneInfo(ZONE)).date()
    (day,) = pipeline.client.scan_iter(f"*:{SITE}:d:{today:%Y%m%d}")
    client: Any = pipeline.client
    right = client.dump(day)
    assert client.hlen(day) < 200
    top = pipeline.stats.pages(pipeline.site_in(ZONE), today, today, 3)
    assert [row["path"] for row in top] == ["/0", "/2", "/1"]
    for command, place, numbers in [
        ("HINCRBY ~/ 1", "page (other), day", "Redis 601, recount 600"),
        ("HINCRBY * -1", "all pages, day", "Redis 599, recount 600"),
        ("HINCRBY /1 500", "/1, day", "Redis 600, recount 100"),
        ("HINCRBY /1 -80", "/1, day", "Redis 20, recount 100"),
    ]:
        name, field, change = command.split()
        client.execute_command(name, day, field, change)
        lines = differences()
        assert any(place in line and numbers in line for line in lines), (command, lines)
        client.restore(day, 0, right, replace=True)


@embedded
def test_it_compares_one_site_or_some_days(pipeline: Pipeline, counted: dict[str, int]) -> None:
    plant(pipeline, "HINCRBY {site}:d:{d} /a 1", counted)
    day = datetime.strptime(str(counted["d"]), "%Y%m%d").replace(tzinfo=UTC).date()
    assert len(differences(site="ny.example", first=day, last=day)) == 1
    plant(pipeline, "HINCRBY {site}:ledger:{ledger} bot 1", counted)
    arrived = datetime.strptime(str(counted["ledger"]), "%Y%m%d").replace(tzinfo=UTC).date()
    assert any("bot" in line for line in differences(first=arrived, last=arrived))
    pipeline.client.hdel(f"{{s00}}:ny.example:ledger:{counted['ledger']}", "bot")
    assert differences(site=SITE) == []
    assert differences(first=day.replace(year=day.year + 1)) == []
    assert differences(last=day.replace(year=day.year - 1)) == []


@embedded
@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--site", "nowhere.example"], "No site 'nowhere.example'"),
        (["--from", "2026-03-02", "--to", "2026-03-01"], "lies after"),
        (["--from", "yesterday"], "'yesterday' is not a day"),
    ],
)
def test_it_refuses_with_a_sentence(pipeline: Pipeline, arguments: list[str], reason: str) -> None:
    with pytest.raises(CommandError, match=reason):
        call_command("reconcile", *arguments)


@embedded
def test_it_notices_that_redis_forgot_a_log_that_is_gone(pipeline: Pipeline) -> None:
    pipeline.send([page_view() for _ in range(5)], partition=0)
    old = pipeline.log.describe().id
    pipeline.count_all(5)
    archive_all()
    pipeline.make_topic_again()
    assert differences() == []
    pipeline.client.flushall()
    assert differences() == [
        f"archived offsets of log {old}, partition 0, that were counted: Redis 0, recount 5"
    ]


@embedded
def test_it_fails_with_a_sentence_when_an_object_is_missing(
    pipeline: Pipeline, counted: dict[str, int]
) -> None:
    archive_all()
    Segment.objects.update(key="nowhere.parquet")
    with pytest.raises(CommandError, match=r"Nothing was proven: .*nowhere\.parquet"):
        call_command("reconcile")
