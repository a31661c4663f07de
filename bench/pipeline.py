"""Broker, store and sites of a benchmark that counts."""

import shutil
import uuid
from pathlib import Path

import redis

from bench.processes import CACHE
from bench.sites import prepare_sites
from tracker_site.embedded.servers import ApacheKafka, Valkey, wait_until

_REWRITE_TIMEOUT_S = 60
# The store shares its core, and some of what is asked of it is long.
_ANSWER_S = 60


class Pipeline:
    """Started once, for every run of every side. Apache Kafka in KRaft mode; Valkey with its
    append-only file."""

    def __init__(self, directory: Path) -> None:
        shutil.rmtree(directory, ignore_errors=True)
        self._data = directory / "data"
        self._kafka = ApacheKafka(directory / "kafka", CACHE / "apache-kafka")
        self._store = Valkey(directory / "store", save=True)

    def start(self) -> None:
        self._kafka.start()
        self._store.start()
        with self.client() as client:
            # A rewrite of the append-only file would fall into one run and not into the next.
            client.config_set("auto-aof-rewrite-percentage", 0)
        prepare_sites(self.settings("none"))

    def stop(self) -> None:
        self._store.kill()
        self._kafka.kill()

    @property
    def bootstrap_servers(self) -> str:
        return self._kafka.bootstrap_servers

    def client(self) -> redis.Redis:
        return redis.Redis.from_url(self._store.url, socket_timeout=_ANSWER_S)

    def empty_store(self) -> None:
        """Nothing is left in it, nor in its append-only file."""
        with self.client() as client:
            client.flushall()
            client.bgrewriteaof()
            wait_until(
                lambda: not _rewrites(client.info("persistence")),
                _REWRITE_TIMEOUT_S,
                "The rewritten append-only file",
            )

    def settings(self, topic: str) -> dict[str, str]:
        """Of a process that counts the topic from its start, in a group of its own."""
        return {
            "DATA_DIR": str(self._data),
            "KAFKA_BOOTSTRAP_SERVERS": self.bootstrap_servers,
            "KAFKA_TOPIC": topic,
            "KAFKA_GROUP": f"bench-{uuid.uuid4()}",
            "REDIS_URL": self._store.url,
        }


def _rewrites(persistence: dict[str, int]) -> bool:
    return bool(persistence["aof_rewrite_in_progress"] or persistence["aof_rewrite_scheduled"])
