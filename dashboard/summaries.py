"""A line about each site, for lists of sites."""

from collections.abc import Sequence
from datetime import datetime

import redis
from django.utils import timezone
from django.utils.timesince import timesince

from dashboard.api import stats
from ingest.models import Site
from processing.stats import now_ms


def read_summaries(sites: Sequence[Site]) -> dict[str, dict[str, int | None]]:
    """By site id, as `Stats.summaries`; empty while the live store is away, so that lists
    work without it."""
    try:
        return stats().summaries(sites, now_ms())
    except redis.RedisError:
        return {}


def ago(moment: datetime) -> str:
    """Such as “just now” or “2 hours, 5 minutes ago”."""
    if (timezone.now() - moment).total_seconds() < 60:
        return "just now"
    return f"{timesince(moment)} ago"
