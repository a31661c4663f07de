"""The balance: where every message of the log has gone, and in words whether it adds up.

`read_balance` and `read_site_balance` put together what Redis and the database know; the
rest takes values, and settings, and gives values.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

from django.conf import settings

from ingest.models import Site
from processing.aggregation import CATEGORIES, COUNTED, EXPIRED, INVALID
from processing.archive_progress import ArchiveProgress, States
from processing.ledger_stats import SITE_CATEGORIES
from processing.models import Segment
from processing.stats import Stats
from processing.tasks import AGAIN_AFTER_S

OK, GONE, BUSY, BEHIND, LOST = "ok", "gone", "busy", "behind", "lost"
# From what needs nobody to what needs somebody at once.
STATES = (OK, GONE, BUSY, BEHIND, LOST)


@dataclass(frozen=True)
class Remark:
    """A sentence, and how bad it is: one of `STATES`."""

    state: str
    sentence: str


@dataclass(frozen=True)
class Verdict:
    """The answer, then what else has to be known; `state` is the worst of them."""

    state: str
    sentence: str
    sentence_state: str
    remarks: list[Remark] = field(default_factory=list)


STORE_AWAY = Verdict(
    GONE,
    "The live store does not answer, so nothing can be added up. Page views are still accepted "
    "and wait in Kafka.",
    GONE,
)


def read_balance(stats: Stats, now_ms: int) -> dict[str, Any]:
    """What `GET /api/v1/ledger` answers. Raises `redis.RedisError` and `DatabaseError`."""
    # The archive first: what it has was in the log before the markers are read.
    archive = ArchiveProgress.read(stats.topic)
    ledger, as_of = stats.ledger(), stats.as_of(now_ms)
    log = ledger["topic_id"] or ""
    for row in ledger["partitions"]:
        row["archived_to"] = archive.archived_to(log, row["partition"])
        row["archived_rows"] = archive.rows(log, row["partition"])
        if as_of["lag"] is None:
            # No consumer has looked at the log's end for some seconds; the archive may have.
            row["lag"] = None
            row["log_end"] = max(row["log_end"] or 0, row["archived_to"])
    ledger["totals"]["archived_rows"] = archive.rows(log)
    ledger["earlier_logs"]["archived_rows"] = archive.earlier_rows(log)
    return {
        **ledger,
        "archive": [_as_json(states) for states in archive.states()],
        "verdict": asdict(judge(ledger, as_of, archive, now_ms, stats.first_counted())),
        "as_of": as_of,
    }


def read_site_balance(
    stats: Stats, site: Site, first: date, last: date, now_ms: int
) -> dict[str, Any]:
    """What `GET /api/v1/ledger?site=…` answers. Raises `redis.RedisError`."""
    days = stats.site_ledger(site, first, last)
    names = ("read", *SITE_CATEGORIES)
    return {
        "site": site.public_id,
        "time_zone": site.time_zone,
        "days": days,
        "totals": {name: sum(day[name] for day in days) for name in names},
        "as_of": stats.as_of(now_ms),
    }


def judge(
    ledger: dict[str, Any],
    as_of: dict[str, Any],
    archive: ArchiveProgress,
    now_ms: int,
    first_counted: datetime | None = None,
) -> Verdict:
    """Whether everything that was read is accounted for, and what waits or is lost.
    `first_counted`: since when there has been something to archive."""
    answer = _answer(ledger, as_of)
    remarks = [
        *_of_expired(ledger["totals"][EXPIRED]),
        *_of_invalid(ledger["totals"][INVALID]),
        *_of_archive(archive, ledger["topic_id"] or "", now_ms),
        *_of_planning(archive, first_counted, now_ms),
    ]
    remarks.sort(key=lambda remark: -STATES.index(remark.state))
    worst = max((answer, *remarks), key=lambda remark: STATES.index(remark.state))
    return Verdict(worst.state, answer.sentence, answer.state, remarks)


def _answer(ledger: dict[str, Any], as_of: dict[str, Any]) -> Remark:
    wrong = [row for row in ledger["partitions"] if not _adds_up(row)]
    if wrong:
        return Remark(LOST, " ".join(_misfit(row) for row in wrong))
    if as_of["state"] == "unknown":
        return Remark(
            GONE, "No consumer has reported yet. What is accepted waits in Kafka until one runs."
        )
    totals, lag = ledger["totals"], as_of["lag"]
    if as_of["state"] == "rebuilding":
        return Remark(
            BUSY,
            f"Rebuilding {int(100 * as_of['rebuilt'])}%: the live store was emptied and is counted "
            f"again from the archive and the log. So far {_equation(totals)}.",
        )
    if as_of["state"] == "behind":
        waiting = f": {_events(lag)} to be counted" if lag else ""
        if lag is None:
            waiting = ": no consumer has reported for some seconds"
        age = _duration(as_of["age_seconds"])
        return Remark(BEHIND, f"{age} behind{waiting}. So far {_equation(totals)}.")
    waits = f"{lag:,} just arrived" if lag else "nothing waits"
    if _accounted(totals) != totals["read"]:
        return Remark(OK, f"Everything adds up; a batch is being counted after {totals['read']:,}.")
    return Remark(OK, f"Everything adds up: {_equation(totals)}; {waits}.")


def _adds_up(row: dict[str, int]) -> bool:
    return row["read"] <= _accounted(row) <= row["read"] + row["in_flight"]


def _accounted(row: dict[str, int]) -> int:
    return sum(row[category] for category in CATEGORIES)


def _misfit(row: dict[str, int]) -> str:
    return (
        f"Partition {row['partition']} does not add up: {row['read']:,} read, but "
        f"{_accounted(row):,} accounted for."
    )


def _equation(totals: dict[str, int]) -> str:
    """12,345 read = 12,300 counted + 40 duplicate + 5 invalid"""
    parts = [f"{totals[name]:,} {name}" for name in CATEGORIES if totals[name] or name == COUNTED]
    return f"{totals['read']:,} read = {' + '.join(parts)}"


def _of_expired(expired: int) -> Iterable[Remark]:
    if expired:
        sentence = f"{_count(expired, 'event')} lost: expired in Kafka, not counted, not archived."
        yield Remark(LOST, sentence)


def _of_invalid(invalid: int) -> Iterable[Remark]:
    if invalid:
        kept = "is kept" if invalid == 1 else "are kept"
        yield Remark(
            BEHIND,
            f"{_count(invalid, 'message')} could not be read and {kept} in the topic "
            f"{settings.KAFKA_DEAD_TOPIC}, with the reason.",
        )


def _of_archive(archive: ArchiveProgress, topic_id: str, now_ms: int) -> Iterable[Remark]:
    """Of lost segments only those of this log: those of earlier ones stay for ever, and
    there is nothing to be done about them."""
    lost = _of_state(archive.states(topic_id), Segment.State.LOST)
    if lost.segments:
        yield Remark(
            LOST,
            f"{_count(lost.events, 'event')} lost to the archive, in "
            f"{_count(lost.segments, 'segment')}.",
        )
    states = archive.states()
    failed = _of_state(states, Segment.State.FAILED)
    if failed.oldest:
        yield Remark(
            BEHIND,
            f"The archive could not write {_count(failed.segments, 'segment')} and tries again by "
            f"itself; the oldest has waited since {_moment(failed.oldest)}.",
        )
    planned = _of_state(states, Segment.State.PLANNED)
    if planned.oldest and _is_late(planned.oldest, now_ms):
        yield Remark(
            BEHIND,
            f"The archive is behind: {_count(planned.segments, 'segment')} not written, the oldest "
            f"planned at {_moment(planned.oldest)}. Does a worker run?",
        )


def _of_planning(
    archive: ArchiveProgress, first_counted: datetime | None, now_ms: int
) -> Iterable[Remark]:
    for partition, offsets in sorted(archive.cut_back.items()):
        yield Remark(
            LOST,
            f"Partition {partition} was cut back: Kafka ends {_count(offsets, 'event')} before "
            "what is planned to be archived. What arrives in their place is not archived.",
        )
    planned_at = archive.planned_at or first_counted
    patience = timedelta(seconds=5 * settings.ARCHIVE_INTERVAL_SECONDS + 60)
    if planned_at and _moment_of(now_ms) - planned_at > patience:
        yield Remark(
            BEHIND,
            f"The archive has not looked for new events since {_moment(planned_at)}. Do Celery's "
            "beat and a worker run?",
        )


def _of_state(states: Iterable[States], state: str) -> States:
    return next(found for found in states if found.state == state)


def _is_late(planned_at: datetime, now_ms: int) -> bool:
    """Whether it was handed to a second worker already, with time for a try."""
    patience = timedelta(seconds=AGAIN_AFTER_S + settings.ARCHIVE_INTERVAL_SECONDS)
    return _moment_of(now_ms) - planned_at > patience


def _as_json(states: States) -> dict[str, Any]:
    oldest = states.oldest if states.state in Segment.UNFINISHED else None
    return asdict(states) | {"oldest": oldest and oldest.isoformat(timespec="seconds")}


def _moment_of(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)


def _moment(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _events(number: int) -> str:
    return f"{_count(number, 'event')} {'waits' if number == 1 else 'wait'}"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _duration(seconds: float) -> str:
    """As the live page writes it: 12 s, 2m 14s, 3h 5m."""
    minutes, rest = divmod(int(seconds), 60)
    if not minutes:
        return f"{rest} s"
    return f"{minutes}m {rest}s" if minutes < 60 else f"{minutes // 60}h {minutes % 60}m"
