"""When an event happened, from what its sender wrote. Pure."""

from datetime import UTC, datetime

from ingest.refusals import Refusal

# From here on a number is milliseconds: as seconds it would be the year 5138.
_MILLISECONDS_FROM = 100_000_000_000
_EARLIEST_MS = 946_684_800_000  # 2000-01-01
_MOST_AHEAD_MS = 600_000


def read_time(timestamp: int | float | str | None, received: int, queue_time: int = 0) -> int:
    """Unix milliseconds; `received`, in the same unit, less the `queue_time` that the event
    waited at its sender's stands in for a missing timestamp.

    Raises `Refusal` for what is no time, before 2000 or more than ten minutes ahead.
    """
    if timestamp is None:
        return received - max(queue_time, 0)
    ms: int | float
    if isinstance(timestamp, str):
        ms = _from_text(timestamp)
    else:
        # -1e308 seconds are minus infinity: a whole number is made of what is within the bounds.
        ms = timestamp if timestamp >= _MILLISECONDS_FROM else timestamp * 1_000
    if ms > received + _MOST_AHEAD_MS:
        raise _refusal(
            timestamp, "lies more than ten minutes in the future; check the sender's clock"
        )
    if ms < _EARLIEST_MS:
        raise _refusal(
            timestamp, "lies before 2000-01-01; send Unix seconds, milliseconds or ISO 8601"
        )
    return int(ms)


def _from_text(text: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return int(moment.timestamp() * 1_000)
    except (ValueError, OverflowError):
        raise _refusal(
            text, "not a time; write ISO 8601, such as 2026-11-23T08:15:00Z, or Unix seconds"
        ) from None


def _refusal(value: object, reason: str) -> Refusal:
    return Refusal(400, "timestamp", value, reason)
