"""The aggregation and the apply script against a slow, obviously right reference: however the log
is cut into batches, and whatever is killed, repeated or turned back meanwhile."""

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ingest.pageview import PageView
from processing.counters import connect
from processing.stats import Stats
from tests import reference
from tests.conftest import Servers
from tests.processing.machine import (
    DAY_S,
    HOUR_S,
    MINUTE_S,
    NOW_S,
    PARTITIONS,
    PEOPLE,
    SITE,
    ZONE,
    Machine,
    numbers,
    split,
)

# Arrivals around the borders of hours, in which visits are remembered.
arrivals = st.integers(0, 12).map(lambda n: (NOW_S - 14_400 + n * 1_199) * 1_000)
# How long ago it had happened: at once, at the borders of a visit, of duplicates and of buckets.
ages = st.one_of(
    st.just(0),
    st.just(0),
    st.sampled_from([1, 60, 601, 1_799, 1_800, 1_801, 3_600, 86_400, DAY_S // 4, DAY_S]),
)


@st.composite
def events(draw: Any) -> PageView:
    received, visitor = draw(arrivals), draw(st.sampled_from(["v1", "v2", "v3"]))
    return PageView(
        # Copies come through one partition, so that it is certain which one is counted.
        id=visitor + draw(st.sampled_from("abcdef")),
        site=SITE.public_id,
        visitor=visitor,
        path=draw(st.sampled_from(["/", "/x", "/*", "/ü", "/x:v:/y"])),
        received=received,
        ts=received - draw(ages) * 1_000,
        name=draw(st.sampled_from(["pageview", "pageview", "pageview", "signup", "engagement"])),
        retryable=draw(st.booleans()),
        bot=draw(st.sampled_from([None, None, None, None, "crawler", "datacenter", "internal"])),
        browser=draw(st.sampled_from([None, "Firefox", "~"])),
        browser_version=draw(st.sampled_from([None, "140", "!"])),
        country=draw(st.sampled_from([None, "DE"])),
        referrer=draw(st.sampled_from([None, "", "https://a.example/?*"])),
        props=draw(st.sampled_from([None, {}, {"plan": "pro", "n": 1.0}, {"ok": True}])),
    )


logs = st.lists(events(), max_size=40)
# What is done with so many events: counted, counted twice, killed before it was applied; or the
# store is saved, or turned back to where it was saved.
steps = st.lists(
    st.tuples(
        st.sampled_from(["count", "count", "repeat", "kill", "save", "turn back"]),
        st.integers(1, 15),
        st.integers(0, PARTITIONS - 1),
    ),
    max_size=12,
)


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(log=logs, steps=steps)
def test_it_counts_what_the_reference_counts_however_the_log_is_cut(
    embedded_servers: Servers, log: list[PageView], steps: list[tuple[str, int, int]]
) -> None:
    client = connect(embedded_servers.redis_url)
    machine = Machine(client, split(log))
    machine.play(steps)
    check(client, expect(machine.logs))


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(log=logs, steps=steps, most=st.integers(1, 3))
def test_it_keeps_sums_exact_and_values_near_in_full_buckets(
    embedded_servers: Servers, log: list[PageView], steps: list[tuple[str, int, int]], most: int
) -> None:
    client = connect(embedded_servers.redis_url)
    machine = Machine(client, split(log), most)
    machine.play(steps)
    expected = expect(machine.logs)
    for bucket, true in expected.numbers.items():
        if is_kept(bucket):
            check_bounds(numbers(client, bucket), true, most, expected.added[bucket])


@dataclass
class Expected:
    """What the reference says of a log."""

    numbers: reference.Numbers
    ledger: Counter[str] = field(default_factory=Counter)
    site_ledger: Counter[tuple[str, str]] = field(default_factory=Counter)
    visitors: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    page_visitors: dict[tuple[str, str], set[str]] = field(default_factory=lambda: defaultdict(set))
    # bucket → events that were added to any dimension's values
    added: Counter[str] = field(default_factory=Counter)


def expect(logs: list[list[PageView]]) -> Expected:
    sorted_out: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    expected = Expected(defaultdict(Counter))
    ids: defaultdict[str, list[PageView]] = defaultdict(list)
    for event in (event for log in logs for event in log):
        category = category_of(event, ids)
        sorted_out[category].append(msgspec.to_builtins(event))
        expected.ledger[category] += 1
        (day,) = reference.buckets(event.received, ZONE)[2:]
        expected.site_ledger[day.removeprefix("d:"), category] += 1
    expected.numbers = reference.count(sorted_out["counted"], sorted_out["bot"], ZONE)
    for message in sorted_out["counted"]:
        if reference.is_engagement(message):
            continue
        for bucket in reference.buckets(message["ts"], ZONE):
            expected.visitors[bucket].add(message["visitor"])
            expected.added[bucket] += 1
            if reference.is_page_view(message):
                expected.page_visitors[bucket, message["path"]].add(message["visitor"])
    return expected


def category_of(event: PageView, ids: dict[str, list[PageView]]) -> str:
    if event.retryable:
        if any(is_copy(event, other) for other in ids[event.id]):
            return "duplicate"
        ids[event.id].append(event)
    if event.bot and event.bot not in PEOPLE:
        return "bot"
    return "late" if event.received - event.ts > DAY_S * 1_000 else "counted"


def is_copy(event: PageView, other: PageView) -> bool:
    """Whether they are copies: close in arrival, or both old and not too far apart."""
    if abs(event.received // 600_000 - other.received // 600_000) <= 1:
        return True
    month = 30 * 86_400_000
    both_old = all(e.received - e.ts > 600_000 for e in (event, other))
    return both_old and abs(event.received // month - other.received // month) <= 1


def is_kept(bucket: str) -> bool:
    kind, number = bucket.split(":")
    if kind == "m":
        return (int(number) + 1) * 60 + MINUTE_S > NOW_S + 3_600
    if kind == "h":
        return int(number) + 3_600 + HOUR_S > NOW_S + 3_600
    oldest = datetime.fromtimestamp(NOW_S - DAY_S + 86_400, ZoneInfo(ZONE))
    return int(number) >= int(f"{oldest:%Y%m%d}")


def check(client: Any, expected: Expected) -> None:
    ledger: Counter[str] = Counter()
    for name, events in client.hgetall("{s00}:ledger:t").items():
        ledger[name.decode().partition(":")[2]] += int(events)
    assert ledger == expected.ledger
    for (day, category), events in expected.site_ledger.items():
        assert int(client.hget(f"{{s00}}:{SITE.public_id}:ledger:{day}", category)) == events
    for bucket, true in expected.numbers.items():
        if is_kept(bucket):
            assert numbers(client, bucket) == reference.without_zeros(true), bucket
    for bucket, visitors in expected.visitors.items():
        if is_kept(bucket):
            key = f"{{s00}}:{SITE.public_id}:{bucket}:v"
            assert client.pfcount(key) == len(visitors)
    for (bucket, path), visitors in expected.page_visitors.items():
        if bucket.startswith("d:") and is_kept(bucket):
            key = f"{{s00}}:{SITE.public_id}:{bucket}:v:{path}"
            assert client.pfcount(key) == len(visitors)
    check_stats(Stats(client, 1, "topic"), expected)


def check_stats(stats: Stats, expected: Expected) -> None:
    """What readers are told of each day."""
    for bucket, true in expected.numbers.items():
        if not bucket.startswith("d:") or not is_kept(bucket):
            continue
        day = datetime.strptime(bucket, "d:%Y%m%d").replace(tzinfo=UTC).date()
        totals = stats.totals(SITE, day, day)
        names = {"pageviews": "*", "bots": "*b", "visits": "*v", "bounces": "*o"}
        assert {name: totals[name] for name in names} == {n: true[f] for n, f in names.items()}
        assert totals["visitors"] == len(expected.visitors[bucket])
        pages = stats.pages(SITE, day, day, 100)
        assert sum(row["pageviews"] + row["bots"] for row in pages) == true["*"] + true["*b"]
        reasons = stats.top(SITE, day, day, "bot_reason", 100)
        assert reasons.total == sum(row["bots"] for row in reasons.results) == true["*b"]
        for dimension, prefix in (
            ("page", "/"), ("browser", "b"), ("exit_page", ">"), ("bot_reason", "?"),
        ):  # fmt: skip
            top = stats.top(SITE, day, day, dimension, 100)
            fields = {name for name in true if name.startswith(prefix) and true[name]}
            assert {row["value"]: row[top.metric] for row in top.results} == {
                name if dimension == "page" else name[1:]: true[name] for name in fields
            }


def check_bounds(found: dict[str, int], true: Counter[str], most: int, added: int) -> None:
    """SPEC.md §20: totals and sums are exact, values never too high and hardly too low."""
    for total in ("*", "*b", "*v", "*o", "*d"):
        assert found.get(total, 0) == true[total]
    for prefix in {name[0] for name in true} - {"*"}:
        values = {name: n for name, n in true.items() if name[0] == prefix}
        kept = {name: n for name, n in found.items() if name[0] == prefix}
        assert sum(kept.values()) + found.get("~" + prefix, 0) == sum(values.values())
        for name, count in values.items():
            if prefix in "/>beC":
                assert 0 <= count - kept.get(name, 0) <= added // (most + 1), (name, found, true)
        assert kept.keys() <= values.keys()
