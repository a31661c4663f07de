"""What is measured: the programs, and what each of them counts."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from bench.count import DIRECTORY
from bench.count.layouts import EveryDimension, Layout, NumberOnly, Ours, OursByMinute, Peers
from bench.count.tools import FLINK, FLINK_JAR, GO_PROCESSOR, python_of


@dataclass(frozen=True)
class LogKind:
    """A topic of the benchmark. `share` of the events, from the first on, are in it."""

    topic: str
    retryable: bool = False
    share: float = 1.0


ALL = LogKind("pageviews")
WITH_IDS = LogKind("pageviews-with-ids", retryable=True)
# For who would take minutes to count them all.
BEGINNING = LogKind("pageviews-beginning", share=0.05)
LOGS = (ALL, WITH_IDS, BEGINNING)
PARTITIONS = 2


@dataclass(frozen=True)
class Subject:
    """`command` with the number of events in the place of `{events}`. `settings` come on top of
    those of every subject. `layout`: of its numbers, or the kind of the product's own."""

    name: str
    command: tuple[str, ...]
    counts: str
    layout: Layout | type[Ours] = Ours
    log: LogKind = ALL
    consumers: int = 1
    settings: Mapping[str, str] = field(default_factory=dict, hash=False)
    # Ends by itself after the last event, and has all its numbers in Redis only then.
    ends: bool = False

    def __str__(self) -> str:
        return self.name

    def layout_of(self, topic_id: str, partitions: int) -> Layout:
        return self.layout(topic_id, partitions) if isinstance(self.layout, type) else self.layout


_CONSUME = (sys.executable, "manage.py", "consume")
_OURS = (
    "pages, visits and visitors by minute; every dimension, visits and visitors by hour and day; "
    "visitors of a page by day; live minutes; who is here now; the feed; the ledger"
)
# As many as the traffic has pages: what is checked is exact.
_EXACT = {"TOP_VALUES": "2000"}
_PAGES = "pages by minute"
_EVERY = (
    "pages and visitors by minute; every dimension but entry and exit pages, visitors by hour and "
    "day; visitors of a page by day; live minutes"
)
# Members of a group hear sooner that another one has come.
_SHORT_SESSION = {"KAFKA_SESSION_TIMEOUT_MS": "6000"}


def _python_peer(peer: str, name: str, log: LogKind = ALL, **settings: str) -> Subject:
    command = (str(python_of(peer)), "-m", f"bench.peers.{peer}")
    # Pathway takes one thread by these; faust looks for Django by the last.
    own = {"PATHWAY_THREADS": "1", "PATHWAY_PROCESSES": "1", "DJANGO_SETTINGS_MODULE": ""}
    return Subject(name, command, _PAGES, Peers(), log, settings={**own, **settings})


def _go(name: str, counts: str, layout: Layout, dimensions: str) -> Subject:
    settings = {"GOMAXPROCS": "1", "DIMENSIONS": dimensions}
    return Subject(name, (str(GO_PROCESSOR),), counts, layout, settings=settings)


def _baseline(name: str, module: str, counts: str, layout: Layout) -> Subject:
    command = (sys.executable, "-m", f"bench.count.{module}", "{events}")
    return Subject(name, command, counts, layout, ends=True)


def _twice(subject: Subject) -> Subject:
    name, settings = f"{subject.name}, two consumers", {**subject.settings, **_SHORT_SESSION}
    return replace(subject, name=name, consumers=2, settings=settings)


_JAVA = (
    "java", "-Xms1g", "-Xmx2g", "--add-opens=java.base/java.lang=ALL-UNNAMED",
    "--add-opens=java.base/java.util=ALL-UNNAMED", "-cp", f"{FLINK_JAR}:{FLINK}/lib/*",
    "tracker.bench.CountPageViews",
)  # fmt: skip

OURS = Subject("ours", _CONSUME, _OURS, settings=_EXACT)
OURS_WITH_IDS = Subject(
    "ours, telling duplicates apart", _CONSUME, _OURS, log=WITH_IDS, settings=_EXACT
)
OURS_PAGES = Subject(
    "ours, pages by minute only",
    (sys.executable, "-m", "bench.count.pages_only"),
    "pages by minute; the ledger",
    OursByMinute,
    settings=_EXACT | {"DJANGO_SETTINGS_MODULE": "tracker_site.daemon_settings"},
)
OURS_TWICE, OURS_PAGES_TWICE = _twice(OURS), _twice(OURS_PAGES)
GO_EVERY = _go("Go processor, every dimension", _EVERY, EveryDimension(), "every")
GO_PAGES = _go("Go processor, pages", _PAGES, Peers(), "pages")
PATHWAY = _python_peer("pathway", "Pathway")
BYTEWAX = _python_peer("bytewax", "bytewax")
BYTEWAX_EACH = _python_peer("bytewax", "bytewax, event by event", BYTEWAX_EACH="1")
FLINK_JOB = Subject(
    "Apache Flink",
    _JAVA,
    _PAGES,
    Peers(),
    settings={"CHECKPOINTS_DIRECTORY": (DIRECTORY / "checkpoints").as_uri()},
)
QUIX = _python_peer("quixstreams", "Quix Streams")
FAUST = _python_peer("faust", "faust-streaming", BEGINNING)
DRAIN = _baseline("bare drain", "drain", "nothing", NumberOnly())
PLAIN = _baseline("plain loop, no Redis", "plain", _PAGES, Peers())

SUBJECTS = [OURS, OURS_WITH_IDS, OURS_TWICE, GO_EVERY, OURS_PAGES, OURS_PAGES_TWICE, GO_PAGES,
            PATHWAY, BYTEWAX, BYTEWAX_EACH, FLINK_JOB, QUIX, FAUST, PLAIN, DRAIN]  # fmt: skip
# Of these also the time from Kafka's acknowledgement to the number in Redis.
LIVE_SUBJECTS = [OURS, GO_EVERY, FLINK_JOB, PATHWAY]
