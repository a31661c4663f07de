"""What is read at once changes in one shard, and what has to be known before. Pure."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from processing import keys


@dataclass
class Lookups:
    """What to ask Redis for before a batch is aggregated: per key, the fingerprints of ids that
    may be there; visitors, and the keys in which a visit of theirs may be remembered."""

    ids: dict[str, list[str]] = field(default_factory=dict)
    visits: list[tuple[list[str], Sequence[str]]] = field(default_factory=list)


@dataclass
class Known:
    """The answer: per key the fingerprints that are there, and by visitor the visits; "": none."""

    ids: dict[str, set[str]] = field(default_factory=dict)
    visits: dict[str, dict[str, str]] = field(default_factory=dict)

    def go_on_with(self, deltas: "Deltas") -> None:
        """Know what the store will hold when it has these too."""
        for key, (_, marks) in deltas.ids.items():
            self.ids.setdefault(key, set()).update(marks)
        for key, _, triples in deltas.visits:
            of_key = self.visits.setdefault(key, {})
            of_key.update(zip(triples[::3], triples[2::3], strict=True))


# Keys, each with when it goes, in Unix seconds; 0: never.
Places = Sequence[tuple[str, int]]


@dataclass
class Deltas:
    """What is read at once, of one partition or several, changes in one shard."""

    # partition → category → events
    ledger: dict[int, dict[str, int]] = field(default_factory=dict)
    # What is added to hashes with dimensions, which are kept bounded: to each of the places alike.
    buckets: list[tuple[Places, Mapping[str, int]]] = field(default_factory=list)
    # Plain hashes, key → (when it goes, what is added).
    hashes: dict[str, tuple[int, Counter[str]]] = field(default_factory=dict)
    visitors: list[tuple[Places, Collection[str]]] = field(default_factory=list)
    # A bucket, and by page, which has to be kept in it, visitors of the page.
    page_visitors: list[tuple[tuple[str, int], Mapping[str, list[str]]]] = field(
        default_factory=list
    )
    # Values of a dimension that a bucket keeps.
    most_values: int = 1_000
    # (key, when it may be dropped (ms), [visitor, visit as it was, as it is, …])
    visits: list[tuple[str, int, list[str]]] = field(default_factory=list)
    # site → visitor → (arrival in ms, path, source and referrer as one, country)
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
    # partition → arrival in ms up to which it was read
    clocks: dict[int, int] = field(default_factory=dict)
    # partition → offsets of its duplicates, as [first, last] of each run.
    duplicates: dict[int, list[list[int]]] = field(default_factory=dict)

    def tally(self, partition: int, category: str, events: int = 1) -> None:
        ledger = self.ledger.setdefault(partition, {})
        ledger[category] = ledger.get(category, 0) + events

    def add_plain(self, key: str, expiry: int, fields: Mapping[str, int]) -> None:
        self.hashes.setdefault(key, (expiry, Counter()))[1].update(fields)
