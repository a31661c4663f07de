"""Page views in, changes of counters out. Pure: no Kafka, no Redis, no clock."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from itertools import repeat

from ingest.pageview import PageView
from processing import keys
from processing.calendar import local_hour
from processing.deltas import Deltas, Known, Lookups
from processing.dimensions import ENGAGEMENT
from processing.duplicates import DuplicateWindows, fingerprint
from processing.history_counts import HistoryCounts
from processing.live_counts import NOW_MS, LiveCounts
from processing.rules import Retention, SiteRules
from processing.visits import STEP_MS, Visits, neighbours

COUNTED, DUPLICATE, BOT, LATE, INVALID = "counted", "duplicate", "bot", "late", "invalid"
# Deleted at somebody's wish (SPEC.md §21).
FORGOTTEN = "forgotten"
# Every message that was read falls into exactly one of these.
CATEGORIES = (COUNTED, DUPLICATE, BOT, LATE, INVALID, FORGOTTEN)
# Offsets that were never read: expired before they were counted, or no message at all.
EXPIRED, HOLES = "expired", "holes"
_NO_IDS: tuple[int, dict[str, None]] = (0, {})
_QUARTER_MS = 900_000

# Site → events in the order of the log.
_BySite = defaultdict[str, list[PageView]]


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
                mark = fingerprint(page_view)
                for key in self._windows.neighbour_keys(self.shard, page_view):
                    wanted.ids.setdefault(key, []).append(mark)
            if page_view.bot is None or not self._rules(page_view.site).is_bot(page_view):
                visitors[page_view.site, page_view.received // STEP_MS].add(page_view.visitor)
        for (site, step), seen in visitors.items():
            for near in neighbours(step):
                key = self._site_keys(site).visits(near)
                wanted.visits.setdefault(key, set()).update(seen)
        return wanted

    def aggregate(
        self,
        page_views: Iterable[PageView],
        known: Known,
        now_s: int,
        offsets: Sequence[int] = (),
    ) -> Deltas:
        """`known`: the store's answer to `lookups`. `offsets`: where each page view lies;
        without them the duplicates' places are not noted."""
        deltas = Deltas(gone_before=now_s * 1_000 - 2 * NOW_MS, most_values=self._most_values)
        counted: _BySite = defaultdict(list)
        bots: _BySite = defaultdict(list)
        arrived: Counter[tuple[str, int, str]] = Counter()
        before = ""
        for offset, page_view in zip(offsets or repeat(-1), page_views, strict=False):
            category = self._category(deltas, page_view, known)
            if category == COUNTED:
                counted[page_view.site].append(page_view)
            elif category == BOT:
                bots[page_view.site].append(page_view)
            elif category == DUPLICATE and offset >= 0:
                deltas.note_duplicate(offset, follows=before == DUPLICATE)
            arrived[page_view.site, page_view.received // _QUARTER_MS, category] += 1
            deltas.clock = max(deltas.clock, page_view.received)
            before = category
        self._tally(deltas, arrived, now_s)
        history = HistoryCounts(deltas, self._retention, now_s)
        for site, events in bots.items():
            history.count_bots(self._site_keys(site), self._rules(site), events)
        for site, events in counted.items():
            self._count(history, site, events, known)
        return deltas

    def _category(self, deltas: Deltas, page_view: PageView, known: Known) -> str:
        if page_view.retryable and not self._remember(deltas, page_view, known):
            return DUPLICATE
        rules = self._rules(page_view.site)
        if rules.is_bot(page_view):
            return BOT
        if self._is_late(page_view, rules):
            return LATE
        return COUNTED

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

    @staticmethod
    def _is_late(page_view: PageView, rules: SiteRules) -> bool:
        """Older, as it arrived, than what the site keeps."""
        if rules.retention_days is None:
            return False
        return page_view.received - page_view.ts > rules.retention_days * 86_400_000

    def _tally(self, deltas: Deltas, arrived: Counter[tuple[str, int, str]], now_s: int) -> None:
        """The partition's ledger, and each site's."""
        for (site, quarter, category), events in arrived.items():
            deltas.tally(category, events)
            self._tally_site(deltas, site, quarter, {category: events}, now_s)

    def _tally_site(
        self, deltas: Deltas, site: str, quarter: int, events: dict[str, int], now_s: int
    ) -> None:
        """By the day of arrival."""
        rules = self._rules(site)
        local = local_hour(rules.time_zone, quarter * _QUARTER_MS)
        expiry = rules.day_expiry(local)
        if not expiry or expiry > now_s:
            deltas.add_plain(self._site_keys(site).ledger(local.day), expiry, events)

    def _count(
        self, history: HistoryCounts, site: str, events: Sequence[PageView], known: Known
    ) -> None:
        """A site's events that are counted."""
        site_keys, rules = self._site_keys(site), self._rules(site)
        seen = [event for event in events if event.name != ENGAGEMENT]
        if seen:
            history.count(site_keys, rules, seen)
            LiveCounts(history.deltas, history.now_s).count(site_keys, seen)
        visits = Visits(site_keys, known.visits)
        for event in events:
            visits.add(event)
        history.count_visits(site_keys, rules, visits.changes)
        history.deltas.visits.extend(visits.memory())

    def _site_keys(self, site: str) -> keys.SiteKeys:
        if site not in self._keys:
            self._keys[site] = keys.SiteKeys(site, self._shards)
        return self._keys[site]
