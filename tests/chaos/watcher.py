"""Watches that no counter ever goes down, but where the harness itself turned Redis back."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import redis

from tests.chaos.cluster import RedisPair

_EVERY_S = 0.2
_COUNTERS = ("*:marker:*", "*:ledger:*", "*:d:*", "*:h:*")
# A visit that goes on is no bounce any more, and is left from another page.
_MAY_FALL = (b"*o", b">")

Sample = dict[tuple[str, str], int]


class Watcher(threading.Thread):
    """Samples the primary until `close`. `fell` names every counter that did."""

    def __init__(self, pair: RedisPair) -> None:
        super().__init__(name="watcher", daemon=True)
        self._pair = pair
        self._halt = threading.Event()
        self._lock = threading.Lock()
        self._last: Sample = {}
        # By how many at the same time it is turned back.
        self._turning = 0
        self._epoch = 0
        self.fell: list[str] = []
        self.samples = 0

    def run(self) -> None:
        while not self._halt.wait(_EVERY_S):
            self._pair.note_size()
            epoch = self._epoch
            try:
                sample = self._sample()
            except redis.RedisError:
                continue
            with self._lock:
                if epoch == self._epoch and not self._turning:
                    self._compare(sample)

    @contextmanager
    def rollback(self) -> Iterator[None]:
        """What is counted may be less afterwards than before."""
        with self._lock:
            self._turning += 1
        yield
        with self._lock:
            self._turning -= 1
            self._epoch += 1
            self._last = {}

    def close(self) -> None:
        self._halt.set()
        self.join()

    def _sample(self) -> Sample:
        found: Sample = {}
        with self._pair.primary.client() as client:
            names = [
                name
                for pattern in _COUNTERS
                for name in client.scan_iter(pattern, count=1_000, _type="HASH")
                # What is counted beside the live numbers comes and goes.
                if not name.startswith(b"rebuild:")
            ]
            pipeline = client.pipeline(transaction=False)
            for name in names:
                pipeline.hgetall(name)
            for name, counts in zip(names, pipeline.execute(), strict=True):
                for field, count in counts.items():
                    if field.startswith(_MAY_FALL):
                        continue
                    found[name.decode(), field.decode()] = int(count)
        return found

    def _compare(self, sample: Sample) -> None:
        self.samples += 1
        for key, before in self._last.items():
            now = sample.get(key, 0)
            if now < before:
                self.fell.append(f"{' '.join(key)} fell from {before} to {now}")
        self._last = sample
