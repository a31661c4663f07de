"""How old and how complete the numbers are (SPEC.md §9)."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from processing import keys
from processing.reader import Reader

# A consumer reports at least once a second; after this silence its lag is unknown.
_REPORT_VALID_MS = 5_000
_LIVE_AGE_MS = 5_000
NOTHING_KNOWN = {"through": None, "age_seconds": None, "lag": None, "state": "unknown"}


class Freshness(Reader):
    """Tells it; `now_ms` is the present in Unix milliseconds."""

    def as_of(self, now_ms: int) -> dict[str, Any]:
        """How old and how complete the numbers are (SPEC.md §9)."""
        rebuilt = self._rebuilt()
        reports = list(self._reports(self._topic_id()).values())
        found = _as_of(reports, now_ms) if reports else {"at": _iso(now_ms), **NOTHING_KNOWN}
        return found if rebuilt is None else {**found, "state": "rebuilding", "rebuilt": rebuilt}

    def _rebuilt(self) -> float | None:
        """How much of an emptied store is counted again, 0 to 1; None: nothing is missing."""
        goals = {name.decode(): int(goal) for name, goal in self._rebuilding().items()}
        total = goals.pop("total", 0)
        if not goals or total <= 0:
            return None
        pipeline = self.client.pipeline(transaction=False)
        for name in goals:
            topic_id, partition = name.split(":")
            for shard in range(self.shards):
                pipeline.hget(keys.marker(shard, topic_id), partition)
        markers = [int(marker or 0) for marker in pipeline.execute()]
        left = sum(
            max(0, goal - min(markers[n * self.shards : (n + 1) * self.shards]))
            for n, goal in enumerate(goals.values())
        )
        return round(1 - min(left, total) / total, 3)

    def _rebuilding(self) -> dict[bytes, bytes]:
        found: dict[bytes, bytes] = self.client.hgetall(keys.rebuilding(self.topic))
        return found


def _as_of(reports: Sequence[dict[str, int]], now_ms: int) -> dict[str, Any]:
    through = min(report["through"] for report in reports)
    fresh = all(now_ms - report["at"] <= _REPORT_VALID_MS for report in reports)
    age = max(0, now_ms - through)
    return {
        "at": _iso(now_ms),
        "through": _iso(through),
        "age_seconds": round(age / 1000, 1),
        "lag": sum(r["log_end"] - r["marker"] for r in reports) if fresh else None,
        "state": "live" if age < _LIVE_AGE_MS else "behind",
    }


def _iso(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds")
