"""What a bucket keeps of a dimension that has more values than it may hold, counted by hand; and
that a visit is remembered in one place."""

from typing import Any

import pytest

from ingest.pageview import PageView
from processing.counters import connect
from tests import reference
from tests.conftest import Servers
from tests.processing.machine import NOW_S, PARTITIONS, SITE, ZONE, Machine, numbers

AT = (NOW_S - 7_200) * 1_000
DAY = reference.buckets(AT, ZONE)[2]


def view(path: str, visitor: str, seconds: int = 0, **fields: Any) -> PageView:
    ts = AT + seconds * 1_000
    values: dict[str, Any] = {"id": "x", "site": SITE.public_id, "ts": ts, "received": ts}
    return PageView(path=path, visitor=visitor, **(values | fields))


def count(servers: Servers, most: int, *batches: list[PageView]) -> dict[str, int]:
    """What one day holds after these batches."""
    log = [event for batch in batches for event in batch]
    machine = Machine(connect(servers.redis_url), [log, *[[]] * (PARTITIONS - 1)], most)
    for batch in batches:
        machine.count("count", len(batch), 0)
    return numbers(machine.client, DAY)


def test_what_a_dropped_value_had_is_told_as_other(embedded_servers: Servers) -> None:
    views = [view(path, f"{path}{n}") for path, n in (("/a", 0), ("/a", 1), ("/b", 0))]
    found = count(embedded_servers, 1, views)
    assert (found["*"], found["/a"], found["~/"], found.get("/b")) == (3, 2, 1, None)
    client = connect(embedded_servers.redis_url)
    key = f"{{s00}}:{SITE.public_id}:{DAY}:v:"
    assert (client.pfcount(f"{key}/a"), client.exists(f"{key}/b")) == (2, 0)


def test_a_page_that_is_dropped_takes_its_visitors_with_it(embedded_servers: Servers) -> None:
    count(embedded_servers, 1, [view("/b", "v")], [view("/a", "v")] * 2)
    client = connect(embedded_servers.redis_url)
    key = f"{{s00}}:{SITE.public_id}:{DAY}:v:"
    assert (client.pfcount(f"{key}/a"), client.exists(f"{key}/b")) == (1, 0)


def test_a_value_that_was_dropped_comes_back_with_what_it_may_have_had(
    embedded_servers: Servers,
) -> None:
    """/b has 4 + 4 to the 5 of /a; since it is kept it has 4."""
    first = [view("/a", "v")] * 5 + [view("/b", "v")] * 4
    found = count(embedded_servers, 1, first, [view("/b", "v")] * 4)
    assert (found["*"], found.get("/a"), found["/b"], found["~/"]) == (13, None, 4, 9)


def test_what_a_visit_takes_back_comes_off_the_others(embedded_servers: Servers) -> None:
    first = [view("/a", "v"), *(view("/b", f"w{n}") for n in range(3))]
    assert count(embedded_servers, 1, first)["~>"] == 1
    found = count(embedded_servers, 1, first, [view("/b", "v", 60)])
    assert (found[">/b"], found.get("~>"), found["*v"], found["*o"]) == (4, None, 4, 3)


def test_it_takes_back_no_more_than_a_value_has(embedded_servers: Servers) -> None:
    """Of the visits that leave /a one had been counted as other: /a was dropped meanwhile."""
    first = [view("/a", "v"), *(view("/b", f"w{n}") for n in range(3))]
    second = [view("/a", f"u{n}") for n in range(9)]
    third = [view("/c", visitor, 60) for visitor in ("v", *(f"u{n}" for n in range(9)))]
    assert count(embedded_servers, 1, first, second)[">/a"] == 9
    found = count(embedded_servers, 1, first, second, third)
    exits = {name: n for name, n in found.items() if name[0] == ">" or name == "~>"}
    assert sum(exits.values()) == found["*v"] == 13
    assert exits[">/c"] == 10


@pytest.mark.parametrize("third", [-60, 0])
def test_a_visit_that_went_on_is_not_found_where_it_was(
    embedded_servers: Servers, third: int
) -> None:
    """From one hour of arrival to the next; then comes what arrived in the first one."""
    end = (AT // 3_600_000 + 1) * 3_600 - AT // 1_000
    batches = [[view("/a", "v", end + seconds)] for seconds in (-1, 1, third - 1)]
    found = count(embedded_servers, 1_000, *batches)
    assert (found["*v"], found.get("*o"), found["*d"]) == (
        1,
        None,
        (2 if third == 0 else 62) * 1_000,
    )
    step = AT // 3_600_000
    client = connect(embedded_servers.redis_url)
    remembered = [client.hlen(f"{{s00}}:{SITE.public_id}:visits:{n}") for n in (step, step + 1)]
    assert remembered == [1, 0]
