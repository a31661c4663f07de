"""The balance: what was read = what became of it (SPEC.md §10)."""

from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Any

from ingest.models import Site
from processing import keys
from processing.aggregation import CATEGORIES, EXPIRED, FORGOTTEN, HOLES, INVALID
from processing.calendar import day_number, days
from processing.reader import Reader

# An unreadable message belongs to no site, nor does what was forgotten.
SITE_CATEGORIES = tuple(name for name in CATEGORIES if name not in (INVALID, FORGOTTEN))


class LedgerStats(Reader):
    """Tells it of the log that is counted, of those before, and of a site's days."""

    def ledger(self) -> dict[str, Any]:
        """The balance: per partition, read = counted + duplicate + bot + late + invalid +
        forgotten.

        `read` comes from the marker, the categories from their own counts, all of one shard
        in one atomic read. Shards are read one after the other: a partition's `in_flight`
        tells how many offsets one has passed and another has not, and by as much its
        categories may be ahead of `read`. `earlier_logs` sums the logs counted before.
        """
        topic_id = self._topic_id()
        reports = self._reports(topic_id)
        balances = self._balances(topic_id)
        partitions = [
            _row(partition, balances.get(partition) or _add_up([]), reports.get(partition))
            for partition in sorted(balances.keys() | reports.keys())
        ]
        earlier = [
            balance
            for log in self.client.zrange(keys.logs(self.topic), 0, -1)
            if log.decode() != topic_id
            for balance in self._balances(log.decode()).values()
        ]
        return {
            "topic": self.topic,
            "topic_id": topic_id or None,
            "partitions": partitions,
            "totals": _sum(partitions),
            "earlier_logs": _sum(earlier),
        }

    def first_counted(self) -> datetime | None:
        """When the first log of the topic was seen; None: none ever was."""
        found = self.client.zrange(keys.logs(self.topic), 0, 0, withscores=True)
        return datetime.fromtimestamp(found[0][1] / 1000, UTC) if found else None

    def site_ledger(self, site: Site, first: date, last: date) -> list[dict[str, Any]]:
        """The site's balance of each day from `first` to `last`, by the day of arrival:
        `day`, `read`, the sum, and the categories of events that name a site."""
        names = self._keys(site)
        wanted = days(first, last)
        pipeline = self.client.pipeline(transaction=False)
        for day in wanted:
            pipeline.hmget(names.ledger(day_number(day)), SITE_CATEGORIES)
        return [
            _site_day(day, [int(events or 0) for events in found])
            for day, found in zip(wanted, pipeline.execute(), strict=True)
        ]

    def _balances(self, topic_id: str) -> dict[int, dict[str, int]]:
        """Per partition of one log, summed over the shards."""
        shards = [self._shard_balances(shard, topic_id) for shard in range(self.shards)]
        return {
            partition: _add_up([shard[partition] for shard in shards if partition in shard])
            for partition in {p for shard in shards for p in shard}
        }

    def _shard_balances(self, shard: int, topic_id: str) -> dict[int, dict[str, int]]:
        pipeline = self.client.pipeline(transaction=True)
        pipeline.hgetall(keys.marker(shard, topic_id))
        pipeline.hgetall(keys.ledger(shard, topic_id))
        markers, ledger = pipeline.execute()
        return {
            int(partition): {
                "marker": int(marker),
                **{
                    category: int(ledger.get(b"%s:%s" % (partition, category.encode()), 0))
                    for category in (*CATEGORIES, EXPIRED, HOLES)
                },
            }
            for partition, marker in markers.items()
        }


def _add_up(shards: Sequence[dict[str, int]]) -> dict[str, int]:
    """One partition's balance over its shards: each counts its own sites' events, and all
    read the same offsets."""
    balance = {category: sum(shard[category] for shard in shards) for category in CATEGORIES}
    unread = {name: max((shard[name] for shard in shards), default=0) for name in (EXPIRED, HOLES)}
    markers = [shard["marker"] for shard in shards] or [0]
    return {
        "marker": min(markers),
        "in_flight": max(markers) - min(markers),
        "read": min(markers) - sum(unread.values()),
        **balance,
        **unread,
    }


def _site_day(day: date, events: Sequence[int]) -> dict[str, Any]:
    categories = dict(zip(SITE_CATEGORIES, events, strict=True))
    return {"day": day.isoformat(), "read": sum(events), **categories}


def _row(
    partition: int, balance: dict[str, int], report: dict[str, int] | None
) -> dict[str, int | None]:
    """A partition's balance beside what its consumer last said of the log's end."""
    end = None if report is None else max(report["log_end"], balance["marker"])
    lag = None if end is None else end - balance["marker"]
    return {"partition": partition, **balance, "log_end": end, "lag": lag}


def _sum(balances: Sequence[dict[str, Any]]) -> dict[str, int]:
    names = ("read", *CATEGORIES, EXPIRED, HOLES)
    return {name: sum(balance[name] for balance in balances) for name in names}
