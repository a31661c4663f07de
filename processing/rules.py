"""What decides where events are counted, and for how long."""

from collections.abc import Sequence
from dataclasses import dataclass

from ingest.pageview import PageView
from processing.calendar import LocalHour


@dataclass(frozen=True)
class SiteRules:
    """What of a site decides where its events are counted."""

    time_zone: str = "UTC"
    retention_days: int | None = None
    # Bots of these reasons count as people.
    people: frozenset[str] = frozenset()
    # What the names of the site's own hosts end with, behind a dot: (".shop.example",).
    own_endings: tuple[str, ...] = ()

    def is_bot(self, page_view: PageView) -> bool:
        return page_view.bot is not None and page_view.bot not in self.people

    def brought_by(self, source: str | None) -> str | None:
        """The source of a page view; None where it is the site itself, which an event without
        its page's host does not know."""
        return None if source and f".{source}".endswith(self.own_endings) else source

    def is_late(self, page_view: PageView) -> bool:
        """Whether it was older, as it arrived, than what the site keeps."""
        if self.retention_days is None:
            return False
        return page_view.received - page_view.ts > self.retention_days * 86_400_000

    def bots(self, page_views: Sequence[PageView]) -> list[PageView]:
        """Those of them that are bots'."""
        # Hardly any has a reason to be asked about.
        return [view for view in page_views if view.bot is not None and self.is_bot(view)]

    def late(self, page_views: Sequence[PageView]) -> list[PageView]:
        """Those of them that were late."""
        if self.retention_days is None:
            return []
        return [view for view in page_views if self.is_late(view)]

    def day_expiry(self, local: LocalHour) -> int:
        """When what is kept by the day goes, in Unix seconds; 0: never."""
        if self.retention_days is None:
            return 0
        return local.day_end + self.retention_days * 86_400


@dataclass(frozen=True)
class Retention:
    """Seconds that minute and hour buckets are kept after their end."""

    minute: int
    hour: int
