"""How long numbers are kept, so that nobody is shown a number that has gone."""

from dataclasses import dataclass
from datetime import date

from django.conf import settings

from ingest.models import Site


@dataclass(frozen=True)
class Kept:
    """Of a site: by the minute, by the hour, and its days (None: for ever)."""

    minute_hours: int
    hour_days: int
    days: int | None

    @classmethod
    def of(cls, site: Site) -> "Kept":
        return cls(
            settings.MINUTE_RETENTION_HOURS, settings.HOUR_RETENTION_DAYS, site.retention_days
        )

    def has_minutes_since(self, second: int, now_s: int) -> bool:
        return now_s - second < self.minute_hours * 3_600

    def has_hours_of(self, day: date, today: date) -> bool:
        return (today - day).days < self.hour_days

    def has_day(self, day: date, today: date) -> bool:
        return self.days is None or (today - day).days < self.days
