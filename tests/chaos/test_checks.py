"""What the checks look at."""

from typing import Any

from tests.chaos import checks


def test_they_look_at_the_live_numbers_alone(store: Any) -> None:
    """Redis may be turned back to where a rebuild was counting."""
    live = "{s03}:utc.example:d:20261124"
    store.hset(live, "*", 7)
    store.hset(f"rebuild:pageviews:0123456789ab:{live}", "*", 5)
    store.hset("{s03}:utc.example.org:d:20261124", "*", 3)
    evidence: Any = type("Evidence", (), {"store": store})
    assert list(checks._keys(evidence, "utc.example", "hash")) == [("d:20261124", live)]
