"""How often one sender may ask. Pure but for its own memory."""

from collections.abc import Callable

_MOST_SENDERS = 100_000


class TokenBuckets:
    """A token bucket a key: `rate` tokens a second, bursts of `burst`.

    Remembers at most 100,000 keys; when there are more, full buckets are forgotten, which
    changes no answer, and if that is not enough all are, which is generous for a moment.
    Not locked: a race between threads can let a request more through, never fewer.
    """

    def __init__(self, rate: float, burst: float, clock: Callable[[], float]) -> None:
        self.rate = rate
        self._burst = burst
        self._clock = clock
        self._buckets: dict[str, tuple[float, float]] = {}

    def take(self, key: str, tokens: int = 1) -> float:
        """0.0 when the request may go on, else the seconds after which it may. One that wants
        several tokens goes on when there is one, and the bucket owes the rest."""
        now = self._clock()
        left, at = self._buckets.get(key, (self._burst, now))
        left = min(self._burst, left + (now - at) * self.rate)
        if left < 1:
            self._buckets[key] = (left, now)
            return (1 - left) / self.rate
        if len(self._buckets) >= _MOST_SENDERS:
            self._forget(now)
        self._buckets[key] = (left - tokens, now)
        return 0.0

    def _forget(self, now: float) -> None:
        kept = {
            key: (tokens, at)
            for key, (tokens, at) in self._buckets.items()
            if tokens + (now - at) * self.rate < self._burst
        }
        self._buckets = kept if len(kept) < _MOST_SENDERS else {}
