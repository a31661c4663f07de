"""Names of the keys in Redis (SPEC.md §4). Pure.

Every key of a site begins with its shard's hash tag, so that they share a slot of a
Redis Cluster and one script can change them together.
"""

from zlib import crc32

MINUTE, HOUR, DAY = "m", "h", "d"
# What a site has by arrival: its ledger of each day, its live minutes.
LEDGER, LIVE = "ledger", "live"
# Fields of the views hashes that are no paths; a path begins with "/".
TOTAL = "*"
SECOND = "@"


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


def id_steps(shard: int) -> str:
    """Sorted set: the `ids` keys there are → the end of their step in ms."""
    return f"{tag(shard)}:ids"


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


def repair_lock(topic: str) -> str:
    """String: held by the process that counts earlier logs from the archive."""
    return f"repair:{topic}"


class SiteKeys:
    """The keys of one site."""

    def __init__(self, site: str, shards: int) -> None:
        self.shard = shard_of(site, shards)
        self._prefix = f"{tag(self.shard)}:{site}:"
        self.state = self._prefix + "state"
        self.now = self._prefix + "now"
        self.now_pages = self._prefix + "now:pages"

    def views(self, period: str, bucket: int) -> str:
        """Hash: path → page views, `TOTAL` → all of them."""
        return f"{self._prefix}{period}:{bucket}"

    def visitors(self, period: str, bucket: int) -> str:
        """HyperLogLog of visitors."""
        return f"{self._prefix}{period}:{bucket}:v"

    def page_visitors(self, day: int, path: str) -> str:
        """HyperLogLog of the visitors of one page on one day."""
        return f"{self._prefix}{DAY}:{day}:v:{path}"

    def ledger(self, day: int) -> str:
        """Hash: category → events that arrived on the site's `day`, as 20261123."""
        return f"{self._prefix}{LEDGER}:{day}"

    def live(self, minute: int) -> str:
        """Hash by arrival: path, `TOTAL`, and `SECOND`SS → page views."""
        return f"{self._prefix}{LIVE}:{minute}"
