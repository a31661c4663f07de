"""Names of the keys in Redis (SPEC.md §4). Pure.

Every key of a site begins with its shard's hash tag, so that they share a slot of a
Redis Cluster and one script can change them together.
"""

from functools import lru_cache
from zlib import crc32

MINUTE, HOUR, DAY = "m", "h", "d"
# What a site has by arrival: its ledger of each day, its live minutes, its visits.
LEDGER, LIVE, VISITS = "ledger", "live", "visits"
_MOST_NAMES = 256


# Asked for with each event.
@lru_cache(maxsize=4_096)
def shard_of(site: str, shards: int) -> int:
    return crc32(site.encode()) % shards


def tag(shard: int) -> str:
    return f"{{s{shard:02d}}}"


def marker(shard: int, topic_id: str) -> str:
    """Hash: partition → the next offset to apply."""
    return f"{tag(shard)}:marker:{topic_id}"


def ledger(shard: int, topic_id: str) -> str:
    """Hash: `<partition>:<category>` → events."""
    return f"{tag(shard)}:ledger:{topic_id}"


def clock(shard: int, topic_id: str) -> str:
    """Hash: partition → arrival, in ms, up to which the partition was read."""
    return f"{tag(shard)}:clock:{topic_id}"


def duplicates(shard: int, topic_id: str, partition: int) -> str:
    """Sorted set: `<first>-<last>`, offsets of duplicates → the last."""
    return f"{tag(shard)}:duplicates:{topic_id}:{partition}"


def ids(shard: int, kind: str, step: int) -> str:
    """Set: fingerprints of the retryable ids that arrived in one step of time."""
    return f"{tag(shard)}:ids:{kind}:{step}"


def steps(shard: int) -> str:
    """Sorted set: the `ids` and `visits` keys there are → when, by what was read, they may be
    dropped, in ms."""
    return f"{tag(shard)}:ids"


def forgotten(shard: int) -> str:
    """Set: the numbers of all forgettings. Who knows fewer of them must not count."""
    return f"{tag(shard)}:forgotten"


def hold(shard: int) -> str:
    """String, for seconds: nothing is applied to the shard while its numbers are swapped."""
    return f"{tag(shard)}:hold"


def status(topic_id: str) -> str:
    """Hash: partition → JSON report of the consumer that reads it."""
    return f"status:{topic_id}"


def current_log(topic: str) -> str:
    """String: the id of the topic that is counted now."""
    return f"log:{topic}"


def logs(topic: str) -> str:
    """Sorted set: every topic id that was ever counted → when it was first seen, in ms."""
    return f"logs:{topic}"


def rebuilding(topic: str) -> str:
    """Hash, while an emptied store is rebuilt: `<topic id>:<partition>` → the offset up to
    which it was counted or archived, `total` → the sum of them all."""
    return f"rebuilding:{topic}"


def rebuilds(topic: str) -> str:
    """Sorted set: the spaces in which rebuilds count → when one last did, in ms."""
    return f"rebuilds:{topic}"


def repair_lock(topic: str) -> str:
    """String: held by the process that counts earlier logs from the archive."""
    return f"repair:{topic}"


def visitors_of(bucket: str, path: str | None = None) -> str:
    """HyperLogLog of the visitors of a bucket, or of a page in it."""
    return f"{bucket}:v" if path is None else f"{bucket}:v:{path}"


class SiteKeys:
    """The keys of one site."""

    def __init__(self, site: str, shards: int) -> None:
        self.shard = shard_of(site, shards)
        self._prefix = f"{tag(self.shard)}:{site}:"
        self.state = self._prefix + "state"
        self.now = self._prefix + "now"
        self.now_pages = self._prefix + "now:pages"
        self.now_sources = self._prefix + "now:sources"
        self.now_countries = self._prefix + "now:countries"
        self.feed = self._prefix + "feed"
        self._visits: dict[int, str] = {}

    def views(self, period: str, bucket: int) -> str:
        """Hash: totals and values of dimensions, as in `dimensions`."""
        return f"{self._prefix}{period}:{bucket}"

    def visitors(self, period: str, bucket: int) -> str:
        """HyperLogLog of visitors."""
        return visitors_of(self.views(period, bucket))

    def page_visitors(self, day: int, path: str) -> str:
        """HyperLogLog of the visitors of one page on one day."""
        return visitors_of(self.views(DAY, day), path)

    def ledger(self, day: int) -> str:
        """Hash: category → events that arrived on the site's `day`, as 20261123."""
        return f"{self._prefix}{LEDGER}:{day}"

    def live(self, minute: int) -> str:
        """Hash by arrival: path, all, and seconds → page views."""
        return f"{self._prefix}{LIVE}:{minute}"

    def visits(self, step: int) -> str:
        """Hash: visitor → visit whose last event arrived in one hour (Unix ms / 3,600,000)."""
        # Asked for with each event.
        name = self._visits.get(step)
        if name is None:
            if len(self._visits) >= _MOST_NAMES:
                self._visits.clear()
            name = self._visits[step] = f"{self._prefix}{VISITS}:{step}"
        return name
