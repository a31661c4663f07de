"""Page views in, changes of counters out. Pure: no Kafka, no Redis, no clock."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import repeat

from ingest.pageview import PageView
from processing import keys
from processing.calendar import LocalHour, local_hour
from processing.duplicates import DuplicateWindows, fingerprint

LIVE_MINUTES = 30
NOW_MS = 300_000
_LIVE_KEPT_S = 7_200
_NO_IDS: tuple[int, dict[str, None]] = (0, {})

COUNTED, DUPLICATE, BOT, LATE, INVALID = "counted", "duplicate", "bot", "late", "invalid"
# Every message that was read falls into exactly one of these.
CATEGORIES = (COUNTED, DUPLICATE, BOT, LATE, INVALID)
# Offsets that were never read: expired before they were counted, or no message at all.
EXPIRED, HOLES = "expired", "holes"


@dataclass(frozen=True)
class SiteRules:
    """What of a site decides where its events are counted."""

    time_zone: str = "UTC"
    retention_days: int | None = None


@dataclass(frozen=True)
class Retention:
    """Seconds that minute and hour buckets are kept after their end."""

    minute: int
    hour: int


@dataclass
class Deltas:
    """What one batch of one partition changes in one shard."""

    ledger: dict[str, int] = field(default_factory=dict)
    hashes: dict[str, dict[str, int]] = field(default_factory=dict)
    visitors: dict[str, set[str]] = field(default_factory=dict)
    # Unix seconds; 0: never. For every key of `hashes` and `visitors`.
    expiries: dict[str, int] = field(default_factory=dict)
    # site → visitor → (arrival in ms, path)
    now: dict[keys.SiteKeys, dict[str, tuple[int, str]]] = field(default_factory=dict)
    # Visitors whose last arrival, in ms, is before this are gone.
    gone_before: int = 0
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

    def add(self, key: str, expiry: int, path: str) -> None:
        counts = self.hashes.setdefault(key, {})
        counts[path] = counts.get(path, 0) + 1
        counts[keys.TOTAL] = counts.get(keys.TOTAL, 0) + 1
        self.expiries[key] = expiry

    def see(self, key: str, expiry: int, visitor: str) -> None:
        self.visitors.setdefault(key, set()).add(visitor)
        self.expiries[key] = expiry


class Aggregator:
    """Turns the page views of one shard into `Deltas`.

    `rules` answers a site id with its `SiteRules`. `now_s` is the wall clock in Unix
    seconds; it only spares buckets that Redis would expire at once.
    """

    def __init__(
        self,
        shard: int,
        shards: int,
        rules: Callable[[str], SiteRules],
        retention: Retention,
        windows: DuplicateWindows,
    ) -> None:
        self.shard = shard
        self._shards = shards
        self._rules = rules
        self._retention = retention
        self._windows = windows
        self._keys: dict[str, keys.SiteKeys] = {}

    def lookups(self, page_views: Iterable[PageView]) -> dict[str, list[str]]:
        """Which fingerprints to look for in which key before `aggregate`."""
        wanted: dict[str, list[str]] = {}
        for page_view in page_views:
            if page_view.retryable:
                mark = fingerprint(page_view)
                for key in self._windows.neighbour_keys(self.shard, page_view):
                    wanted.setdefault(key, []).append(mark)
        return wanted

    def aggregate(
        self,
        page_views: Iterable[PageView],
        known: Mapping[str, set[str]],
        now_s: int,
        offsets: Sequence[int] = (),
    ) -> Deltas:
        """`known`: per key of `lookups`, the fingerprints that are there already. `offsets`:
        where each page view lies; without them the duplicates' places are not noted."""
        deltas = Deltas(gone_before=now_s * 1_000 - 2 * NOW_MS)
        before = ""
        for offset, page_view in zip(offsets or repeat(-1), page_views, strict=False):
            deltas.clock = max(deltas.clock, page_view.received)
            category = self._count(deltas, page_view, known, now_s)
            deltas.tally(category)
            self._tally_site(deltas, page_view, category, now_s)
            if category == DUPLICATE and offset >= 0:
                deltas.note_duplicate(offset, follows=before == DUPLICATE)
            before = category
        return deltas

    def _count(
        self, deltas: Deltas, page_view: PageView, known: Mapping[str, set[str]], now_s: int
    ) -> str:
        """Count one event; returns its category."""
        if page_view.retryable and not self._remember(deltas, page_view, known):
            return DUPLICATE
        if page_view.bot is not None:
            return BOT
        rules = self._rules(page_view.site)
        site = self._site_keys(page_view.site)
        if self._is_late(page_view, rules):
            return LATE
        self._count_history(deltas, page_view, site, rules, now_s)
        self._count_now(deltas, page_view, site, now_s)
        return COUNTED

    def _tally_site(self, deltas: Deltas, page_view: PageView, category: str, now_s: int) -> None:
        """The site's own ledger, by the day of arrival."""
        rules = self._rules(page_view.site)
        local = local_hour(rules.time_zone, page_view.received)
        expiry = _day_expiry(local, rules)
        if expiry and expiry <= now_s:
            return
        key = self._site_keys(page_view.site).ledger(local.day)
        counts = deltas.hashes.setdefault(key, {})
        counts[category] = counts.get(category, 0) + 1
        deltas.expiries[key] = expiry

    def _remember(self, deltas: Deltas, page_view: PageView, known: Mapping[str, set[str]]) -> bool:
        """Whether the id is new; if so it is remembered."""
        mark = fingerprint(page_view)
        neighbours = self._windows.neighbour_keys(self.shard, page_view)
        for key in neighbours:
            if mark in known.get(key, ()) or mark in deltas.ids.get(key, _NO_IDS)[1]:
                return False
        for key in neighbours:
            deltas.absent.setdefault(key, set()).add(mark)
        for own, step_end in self._windows.own_keys(self.shard, page_view):
            deltas.ids.setdefault(own, (step_end, {}))[1][mark] = None
        return True

    @staticmethod
    def _is_late(page_view: PageView, rules: SiteRules) -> bool:
        """Older, as it arrived, than what the site keeps."""
        if rules.retention_days is None:
            return False
        return page_view.received - page_view.ts > rules.retention_days * 86_400_000

    def _count_history(
        self,
        deltas: Deltas,
        page_view: PageView,
        site: keys.SiteKeys,
        rules: SiteRules,
        now_s: int,
    ) -> None:
        local = local_hour(rules.time_zone, page_view.ts)
        minute = page_view.ts // 60_000
        day_expiry = _day_expiry(local, rules)
        for period, bucket, expiry in (
            (keys.MINUTE, minute, (minute + 1) * 60 + self._retention.minute),
            (keys.HOUR, local.hour, local.hour + 3_600 + self._retention.hour),
            (keys.DAY, local.day, day_expiry),
        ):
            if expiry and expiry <= now_s:
                continue
            if page_view.name == "pageview":
                deltas.add(site.views(period, bucket), expiry, page_view.path)
            deltas.see(site.visitors(period, bucket), expiry, page_view.visitor)
        if page_view.name == "pageview":
            key = site.page_visitors(local.day, page_view.path)
            deltas.see(key, day_expiry, page_view.visitor)

    def _count_now(
        self, deltas: Deltas, page_view: PageView, site: keys.SiteKeys, now_s: int
    ) -> None:
        received = page_view.received
        last = deltas.states.get(site, (0, 0))
        deltas.states[site] = (max(last[0], received), max(last[1], page_view.ts))
        minute, second = divmod(received // 1_000, 60)
        expiry = (minute + 1) * 60 + _LIVE_KEPT_S
        if page_view.name == "pageview" and expiry > now_s:
            key = site.live(minute)
            deltas.add(key, expiry, page_view.path)
            at_second = f"{keys.SECOND}{second:02d}"
            deltas.hashes[key][at_second] = deltas.hashes[key].get(at_second, 0) + 1
        if received > now_s * 1_000 - NOW_MS:
            people = deltas.now.setdefault(site, {})
            if received >= people.get(page_view.visitor, (0, ""))[0]:
                people[page_view.visitor] = (received, page_view.path)

    def _site_keys(self, site: str) -> keys.SiteKeys:
        if site not in self._keys:
            self._keys[site] = keys.SiteKeys(site, self._shards)
        return self._keys[site]


def _day_expiry(local: LocalHour, rules: SiteRules) -> int:
    """When what is kept by the day goes, in Unix seconds; 0: never."""
    if rules.retention_days is None:
        return 0
    return local.day_end + rules.retention_days * 86_400
