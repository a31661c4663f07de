"""What one batch of one partition changes in one shard, and what it has to know before. Pure."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from processing import keys


@dataclass
class Lookups:
    """What to ask Redis for before a batch is aggregated: per key, the fingerprints of ids that
    may be there, and the visitors whose visits may be."""

    ids: dict[str, list[str]] = field(default_factory=dict)
    visits: dict[str, set[str]] = field(default_factory=dict)


@dataclass
class Known:
    """The answer: per key the fingerprints that are there, and by visitor the visits."""

    ids: Mapping[str, set[str]] = field(default_factory=dict)
    visits: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


@dataclass
class Deltas:
    """What one batch of one partition changes in one shard."""

    ledger: dict[str, int] = field(default_factory=dict)
    # Hashes that are added to: those with dimensions, which are kept bounded, and plain ones.
    buckets: dict[str, Counter[str]] = field(default_factory=dict)
    hashes: dict[str, Counter[str]] = field(default_factory=dict)
    visitors: dict[str, set[str]] = field(default_factory=dict)
    # Bucket's key → page, which has to be kept in it → its visitors.
    page_visitors: dict[str, dict[str, set[str]]] = field(default_factory=dict)
    # Unix seconds; 0: never. For every key of these.
    expiries: dict[str, int] = field(default_factory=dict)
    # Values of a dimension that a bucket keeps.
    most_values: int = 1_000
    # (key, when it may be dropped (ms), [visitor, visit as it was, as it is, …])
    visits: list[tuple[str, int, list[str]]] = field(default_factory=list)
    # site → visitor → (arrival in ms, path, referrer, country)
    now: dict[keys.SiteKeys, dict[str, tuple[int, str, str, str]]] = field(default_factory=dict)
    # Visitors whose last arrival, in ms, is before this are gone.
    gone_before: int = 0
    # site → (arrival in ms, event as JSON)
    feed: dict[keys.SiteKeys, list[tuple[int, str]]] = field(default_factory=dict)
    # site → (last arrival, last event time), ms
    states: dict[keys.SiteKeys, tuple[int, int]] = field(default_factory=dict)
    # Keys that begin to remember these ids → (end of their step in ms, fingerprints).
    ids: dict[str, tuple[int, dict[str, None]]] = field(default_factory=dict)
    # Keys in which these ids were not found, and must still not be when this is applied.
    absent: dict[str, set[str]] = field(default_factory=dict)
    clock: int = 0
    # Offsets of the duplicates, as [first, last] of each run.
    duplicates: list[list[int]] = field(default_factory=list)

    def tally(self, category: str, events: int = 1) -> None:
        self.ledger[category] = self.ledger.get(category, 0) + events

    def note_duplicate(self, offset: int, follows: bool) -> None:
        """`follows`: the shard's page view before it was one too. What lies between them is
        of other shards or no page view, so the run may lead over it."""
        if follows:
            self.duplicates[-1][1] = offset
        else:
            self.duplicates.append([offset, offset])

    def add(self, key: str, expiry: int, fields: Mapping[str, int]) -> None:
        """Add to a bucket, which is kept bounded."""
        if fields:
            self.buckets.setdefault(key, Counter()).update(fields)
            self.expiries[key] = expiry

    def add_plain(self, key: str, expiry: int, fields: Mapping[str, int]) -> None:
        self.hashes.setdefault(key, Counter()).update(fields)
        self.expiries[key] = expiry

    def see(self, key: str, expiry: int, visitors: Iterable[str]) -> None:
        self.visitors.setdefault(key, set()).update(visitors)
        self.expiries[key] = expiry

    def changed(self) -> Iterator[tuple[str, int, list[str], list[int]]]:
        """Per bucket its expiry, the fields that change in it, and by how much."""
        for key, counts in self.buckets.items():
            fields = {name: change for name, change in counts.items() if change}
            yield key, self.expiries[key], list(fields), list(fields.values())
