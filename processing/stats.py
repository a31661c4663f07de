"""The live store's read side, the only one: pages, websockets and the API all ask here."""

import time

from django.conf import settings

from processing.counters import connect
from processing.history_stats import HistoryStats
from processing.ledger_stats import LedgerStats
from processing.live_stats import LiveStats


class Stats(HistoryStats, LiveStats, LedgerStats):
    """Everything that can be asked, by what it is about."""

    @classmethod
    def from_settings(cls) -> "Stats":
        return cls(connect(settings.REDIS_URL), settings.REDIS_SHARDS, settings.KAFKA_TOPIC)


def now_ms() -> int:
    return int(time.time() * 1000)
