"""Every metric of the product, declared and described here and nowhere else (SPEC.md §11).

It stands in the lowest layer, so that every layer can use it. `Counter` and `Histogram`
count what this process does. A `Reading` is read from Redis, the database or Kafka when
somebody scrapes; `dashboard.scrape` does that.
"""

from bisect import bisect_right
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from ingest.track_request import TrackRequest

Family = CounterMetricFamily | GaugeMetricFamily

# What a request did is told by its answer's status; every other one is a refusal.
_OUTCOMES = {202: "accepted", 429: "throttled", 503: "unavailable"}
# A closed set: what a sender writes never becomes a label.
_FIELDS = {
    *TrackRequest.__struct_fields__,
    *("body", "events", "query", "Content-Type", "DNT", "Sec-GPC", "X-Tracker-Import"),
}

disable_created_metrics()  # type: ignore[no-untyped-call]
PROCESS = CollectorRegistry()

REQUESTS = Counter(
    "tracker_track_requests",
    "Requests to the track endpoints that this process answered, by outcome: accepted, refused, "
    "throttled or unavailable. field: what a refused one had wrong, else empty. A batch is one.",
    ["outcome", "field"],
    registry=PROCESS,
)


class _AckHistogram(Histogram):
    """Takes many observations at once: one after the other they took a tenth of the gateway's
    time."""

    def observe_all(self, seconds: list[float]) -> None:
        seconds.sort()
        below = 0
        for bound, bucket in zip(self._upper_bounds, self._buckets, strict=True):
            up_to = bisect_right(seconds, bound)
            bucket.inc(up_to - below)
            below = up_to
        self._sum.inc(sum(seconds))


ACK_SECONDS = _AckHistogram(
    "tracker_ack_seconds",
    "Seconds from the beginning of an accepted request to its answer, Kafka's acknowledgement "
    "included, in this process.",
    buckets=(0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
    registry=PROCESS,
)


def count_accepted(seconds: list[float]) -> None:
    """Note that so many requests were accepted, and after how long each."""
    if seconds:
        ACK_SECONDS.observe_all(seconds)
        _ACCEPTED.inc(len(seconds))


def count_request(status: int, field: str | None, seconds: float) -> None:
    """Note the answer to one request; `field` is the one that was refused."""
    outcome = _OUTCOMES.get(status, "refused")
    if outcome == "accepted":
        count_accepted([seconds])
    else:
        REQUESTS.labels(outcome, _known(field) if outcome == "refused" else "").inc()


# Looking a label up takes longer than counting.
_ACCEPTED = REQUESTS.labels("accepted", "")


def _known(field: str | None) -> str:
    """`props[...]` and `events[3]` belong to the field before the bracket."""
    name = (field or "request").partition("[")[0].partition(".")[0]
    return name if name in _FIELDS or field is None else "other"


@dataclass(frozen=True)
class Reading:
    """A metric that is read at scrape time. A counter's name ends in `_total`."""

    name: str
    meaning: str
    labels: tuple[str, ...] = ()

    def family(self) -> Family:
        """Of no samples yet."""
        kind = CounterMetricFamily if self.name.endswith("_total") else GaugeMetricFamily
        return kind(self.name, self.meaning, labels=self.labels)


UP = Reading("tracker_up", "1 if the part answered this scrape: redis, database, kafka.", ("part",))
LOG_END = Reading(
    "tracker_log_end_offset",
    "The offset that the partition's next message gets, as its consumer last reported.",
    ("partition",),
)
MARKER = Reading("tracker_marker_offset", "The next offset to count.", ("partition",))
LAG = Reading(
    "tracker_lag_events",
    "Events in the log that are not counted yet; absent while no consumer reports.",
    ("partition",),
)
DATA_AGE = Reading(
    "tracker_data_age_seconds", "Everything that arrived longer ago than this is in the numbers."
)
EVENTS = Reading(
    "tracker_events_total",
    "Offsets read, each in one category: counted, duplicate, bot, late, invalid, forgotten; and "
    "offsets never read: expired, holes (no message). Begins anew with a topic made again.",
    ("category", "partition"),
)
ARCHIVED = Reading(
    "tracker_archived_offset",
    "The offset up to which written segments reach without a gap.",
    ("partition",),
)
ARCHIVED_ROWS = Reading(
    "tracker_archived_rows", "Events in written segments of this log.", ("partition",)
)
SEGMENTS = Reading(
    "tracker_archive_segments",
    "Segments of every log: planned, written, failed (tried again by itself), lost.",
    ("state",),
)
UNFINISHED_AGE = Reading(
    "tracker_archive_unfinished_age_seconds",
    "Since when the oldest segment that is not written has been planned; 0: none is.",
)
PLANNED_AGE = Reading(
    "tracker_archive_planned_age_seconds",
    "Since when the log has not been asked for what is to be archived; absent before there is "
    "anything.",
)
CUT_BACK = Reading(
    "tracker_cut_back_events",
    "Offsets that are planned to be archived and that Kafka had no more when that was last "
    "planned: the log was cut back.",
    ("partition",),
)
DEAD_LETTERS = Reading("tracker_dead_letters", "Messages in the topic of what can't be read.")
BUILD = Reading("tracker_build_info", "1; the version that runs.", ("version",))

READINGS = (
    UP,
    LOG_END,
    MARKER,
    LAG,
    DATA_AGE,
    EVENTS,
    ARCHIVED,
    ARCHIVED_ROWS,
    SEGMENTS,
    UNFINISHED_AGE,
    PLANNED_AGE,
    CUT_BACK,
    DEAD_LETTERS,
    BUILD,
)
