"""Offsets that were not read although those around them were. Pure.

There may be no message at an offset: a transaction's marker, for one. But a Kafka client may
also begin to read elsewhere than it was told (librdkafka #5345), and what it left out would
be lost without a word. So a gap is believed only when a second reading, begun anew, shows
it again.
"""

from collections.abc import Iterator, Sequence

Gap = tuple[int, int]


class GapFound(RuntimeError):
    """Raised when offsets were left out for the first time: they are to be read again."""


class Gaps:
    """Those that were seen once, of one log."""

    def __init__(self) -> None:
        self._seen: dict[int, set[Gap]] = {}

    def check(self, partition: int, position: int, offsets: Sequence[int]) -> None:
        """`offsets`: what was read, in their order, where `position` was to be next. Raises
        `GapFound`."""
        if offsets[0] == position and offsets[-1] - position == len(offsets) - 1:
            return
        found = set(_gaps(position, offsets))
        if new := found - self._seen.get(partition, set()):
            self._seen[partition] = found
            first, end = min(new)
            raise GapFound(
                f"Of partition {partition} the offsets {first} to {end - 1} were not read. They "
                "are asked for again, lest a message be there."
            )


def _gaps(position: int, offsets: Sequence[int]) -> Iterator[Gap]:
    for offset in offsets:
        if offset > position:
            yield position, offset
        position = max(position, offset + 1)
