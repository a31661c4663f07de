"""What every part of the read side has: the store, and where in it to look."""

from typing import Any

import msgspec

from ingest.models import Site
from processing import keys
from processing.counters import RedisClient


class Reader:
    """Thread-safe; raises `redis.RedisError` when Redis is away."""

    def __init__(self, client: RedisClient, shards: int, topic: str) -> None:
        self.client = client
        self.shards = shards
        self.topic = topic

    def _keys(self, site: Site) -> keys.SiteKeys:
        return keys.SiteKeys(site.public_id, self.shards)

    def _topic_id(self) -> str:
        return (self.client.get(keys.current_log(self.topic)) or b"").decode()

    def _reports(self, topic_id: str) -> dict[int, dict[str, Any]]:
        """What the consumer of each partition last said."""
        return {
            int(partition): msgspec.json.decode(report)
            for partition, report in self.client.hgetall(keys.status(topic_id)).items()
        }
