"""The measured process: counts the whole topic once, then says what that took, as JSON.

`python -m bench.count_protocol.catch_up <side> <events> <ms by which the clock goes slow>`
"""

import sys
import time

import django
import msgspec
import redis
from django.conf import settings


class Stopwatch:
    """Starts at the end of the first batch, so that connecting is not measured, and stops the
    consumer once it has counted `events`."""

    def __init__(self, events: int) -> None:
        self._events = events
        self._store = redis.Redis.from_url(settings.REDIS_URL)
        self._began: dict[str, float] = {}
        self.found: dict[str, float] = {}

    def look(self, counted: int) -> bool:
        """Whether that was all."""
        if counted and not self._began:
            self._began = self._read(counted)
        if counted >= self._events and not self.found:
            ended = self._read(counted)
            self.found = {name: ended[name] - self._began[name] for name in ended}
        return bool(self.found)

    def _read(self, counted: int) -> dict[str, float]:
        cpu = self._store.info("cpu")
        return {
            "events": counted,
            "seconds": time.monotonic(),
            "cpu": time.process_time(),
            "store_cpu": cpu["used_cpu_user_main_thread"] + cpu["used_cpu_sys_main_thread"],
        }


def main(side: str, events: int, slow_ms: int) -> None:
    from bench.count_protocol.sides import consumer

    counting = consumer(side, lambda: int(time.time() * 1_000) - slow_ms)
    watch = Stopwatch(events)

    def look() -> None:
        if watch.look(counting.progress.events):
            counting.stop()

    counting.run(look)
    sys.stdout.write(msgspec.json.encode(watch.found).decode())


if __name__ == "__main__":
    django.setup()
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
