"""Page views in, changes of counters out. Pure: no Kafka, no Redis, no clock."""

from collections import defaultdict
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from ingest.pageview import PageView
from processing import keys
from processing.calendar import local_hour
from processing.deltas import Deltas, Known, Lookups
from processing.dimensions import ENGAGEMENT
from processing.duplicates import DuplicateWindows, fingerprint
from processing.history_counts import HistoryCounts, by_step
from processing.live_counts import NOW_MS, LiveCounts
from processing.rules import Retention, SiteRules
from processing.visits import STEP_MS, Visits, neighbours

COUNTED, DUPLICATE, BOT, LATE, INVALID = "counted", "duplicate", "bot", "late", "invalid"
# Deleted at somebody's wish (SPEC.md §22).
FORGOTTEN = "forgotten"
# Every message that was read falls into exactly one of these.
CATEGORIES = (COUNTED, DUPLICATE, BOT, LATE, INVALID, FORGOTTEN)
# Offsets that were never read: expired before they were counted, or no message at all.
EXPIRED, HOLES = "expired", "holes"
_NO_IDS: tuple[int, dict[str, None]] = (0, {})
_QUARTER_MS = 900_000


@dataclass(frozen=True)
class Portion:
    """Page views of one partition, in the order of the log. `offsets`: where each of them lies;
    without them the duplicates' places are not noted. `noted`: places among the page views of
    those that are duplicates whatever is known."""

    partition: int
    page_views: Sequence[PageView]
    offsets: Sequence[int] = ()
    noted: Container[int] = ()


@dataclass
class _SiteEvents:
    """Those of a site that are people's, and those that are bots'."""

    counted: list[PageView] = field(default_factory=list)
    bots: list[PageView] = field(default_factory=list)


class Aggregator:
    """Turns the page views of one shard into `Deltas`.

    `rules` answers a site id with its `SiteRules`. `most_values`: how many values of a dimension
    a bucket keeps. `now_s` is the wall clock in Unix seconds; it only spares buckets that Redis
    would expire at once.
    """

    def __init__(
        self,
        shard: int,
        shards: int,
        rules: Callable[[str], SiteRules],
        retention: Retention,
        windows: DuplicateWindows,
        most_values: int = 1_000,
    ) -> None:
        self.shard = shard
        self._shards = shards
        self._rules = rules
        self._retention = retention
        self._windows = windows
        self._most_values = most_values
        self._keys: dict[str, keys.SiteKeys] = {}

    def lookups(self, page_views: Iterable[PageView]) -> Lookups:
        """What has to be known of the store before `aggregate`."""
        wanted = Lookups()
        visitors: defaultdict[tuple[str, int], set[str]] = defaultdict(set)
        for page_view in page_views:
            if page_view.retryable:
                self._look_for_id(wanted, page_view)
            if page_view.bot is None or not self._rules(page_view.site).is_bot(page_view):
                visitors[page_view.site, page_view.received // STEP_MS].add(page_view.visitor)
        for (site, step), seen in visitors.items():
            of_step = self._site_keys(site).visits
            wanted.visits.append((list(seen), [of_step(near) for near in neighbours(step)]))
        return wanted

    def _look_for_id(self, wanted: Lookups, page_view: PageView) -> None:
        mark = fingerprint(page_view)
        for key in self._windows.neighbour_keys(self.shard, page_view):
            wanted.ids.setdefault(key, []).append(mark)

    def aggregate(self, portions: Iterable[Portion], known: Known, now_s: int) -> Deltas:
        """`known`: the store's answer to `lookups`."""
        deltas = Deltas(gone_before=now_s * 1_000 - 2 * NOW_MS, most_values=self._most_values)
        sites: defaultdict[str, _SiteEvents] = defaultdict(_SiteEvents)
        for portion in portions:
            for site, events in self._told_apart(deltas, portion, known, now_s).items():
                sites[site].counted += events.counted
                sites[site].bots += events.bots
        for site, events in sites.items():
            self._aggregate_site(deltas, site, events, known, now_s)
        return deltas

    def _told_apart(
        self, deltas: Deltas, portion: Portion, known: Known, now_s: int
    ) -> Mapping[str, _SiteEvents]:
        """What of a partition counts at all, by site; everything is in the ledgers."""
        partition, page_views = portion.partition, portion.page_views
        duplicates = self._duplicates(deltas, page_views, known, portion.noted)
        if portion.offsets:
            deltas.duplicates[partition] = _runs(duplicates, portion.offsets)
        deltas.clocks[partition] = max([view.received for view in page_views], default=0)
        new = page_views
        if duplicates:
            again = [page_views[at] for at in duplicates]
            for site, events in _by_site(again).items():
                self._tally(deltas, partition, site, events, DUPLICATE, now_s)
            seen_before = set(duplicates)
            new = [event for at, event in enumerate(page_views) if at not in seen_before]
        found = {}
        for site, events in _by_site(new).items():
            rules = self._rules(site)
            bots = rules.bots(events)
            counted = [event for event in events if not rules.is_bot(event)] if bots else events
            late = rules.late(counted)
            if late:
                counted = [event for event in counted if not rules.is_late(event)]
            for category, of_category in ((BOT, bots), (LATE, late), (COUNTED, counted)):
                self._tally(deltas, partition, site, of_category, category, now_s)
            found[site] = _SiteEvents(counted, bots)
        return found

    def _aggregate_site(
        self, deltas: Deltas, site: str, events: _SiteEvents, known: Known, now_s: int
    ) -> None:
        rules = self._rules(site)
        history = HistoryCounts(deltas, self._retention, now_s, self._site_keys(site), rules)
        history.count_bots(events.bots)
        self._count(history, events.counted, known)
        history.add()

    def _duplicates(
        self,
        deltas: Deltas,
        page_views: Sequence[PageView],
        known: Known,
        noted: Container[int],
    ) -> list[int]:
        """Which of the page views repeat one; the ids of the others are remembered."""
        return [
            at
            for at, page_view in enumerate(page_views)
            if page_view.retryable and (at in noted or not self._remember(deltas, page_view, known))
        ]

    def _remember(self, deltas: Deltas, page_view: PageView, known: Known) -> bool:
        """Whether the id is new; if so it is remembered."""
        mark = fingerprint(page_view)
        neighbours = self._windows.neighbour_keys(self.shard, page_view)
        for key in neighbours:
            if mark in known.ids.get(key, ()) or mark in deltas.ids.get(key, _NO_IDS)[1]:
                return False
        for key in neighbours:
            deltas.absent.setdefault(key, set()).add(mark)
        for own, step_end in self._windows.own_keys(self.shard, page_view):
            deltas.ids.setdefault(own, (step_end, {}))[1][mark] = None
        return True

    def _tally(
        self,
        deltas: Deltas,
        partition: int,
        site: str,
        events: Sequence[PageView],
        category: str,
        now_s: int,
    ) -> None:
        """In the partition's ledger, and in the site's by the day of arrival."""
        if not events:
            return
        deltas.tally(partition, category, len(events))
        rules, site_keys = self._rules(site), self._site_keys(site)
        arrivals = [event.received for event in events]
        for quarter, of_quarter in by_step(events, arrivals, _QUARTER_MS).items():
            local = local_hour(rules.time_zone, quarter * _QUARTER_MS)
            expiry = rules.day_expiry(local)
            if not expiry or expiry > now_s:
                deltas.add_plain(site_keys.ledger(local.day), expiry, {category: len(of_quarter)})

    def _count(self, history: HistoryCounts, events: Sequence[PageView], known: Known) -> None:
        """A site's events that are counted."""
        seen = [event for event in events if event.name != ENGAGEMENT]
        if seen:
            history.count(seen)
            LiveCounts(history.deltas, history.now_s, history.rules).count(history.site, seen)
        visits = Visits(history.site, known.visits)
        for event in events:
            visits.add(event)
        history.count_visits(visits.changes)
        history.deltas.visits.extend(visits.memory())

    def _site_keys(self, site: str) -> keys.SiteKeys:
        if site not in self._keys:
            self._keys[site] = keys.SiteKeys(site, self._shards)
        return self._keys[site]


def _by_site(page_views: Iterable[PageView]) -> Mapping[str, list[PageView]]:
    """In the order of the log."""
    sites: defaultdict[str, list[PageView]] = defaultdict(list)
    for page_view in page_views:
        sites[page_view.site].append(page_view)
    return sites


def _runs(places: Sequence[int], offsets: Sequence[int]) -> list[list[int]]:
    """Offsets of what lies at these places, as [first, last] of each run. What lies between two
    of a run is of other shards or no page view, so it may lead over that."""
    runs: list[list[int]] = []
    before = -2
    for at in places:
        if at == before + 1:
            runs[-1][1] = offsets[at]
        else:
            runs.append([offsets[at], offsets[at]])
        before = at
    return runs
