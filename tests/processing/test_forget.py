"""Visitors and sites that are forgotten: in Redis, in the archive, and out of every number."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from django.conf import settings as django_settings
from django.core.management import CommandError, call_command
from django.utils import timezone

from ingest.visitor import VisitorHash
from processing import forget, keys
from processing.archive import Archive
from processing.archive_plan import object_key
from processing.counting import ForgettingUnknown, MarkerMoved
from processing.forgotten import EVERYONE, Forgotten
from processing.forgotten_list import FollowedForgotten, read_forgotten
from processing.management.commands.rebuild import rebuild_of
from processing.models import Forgetting, Segment
from processing.object_store import ObjectStore
from processing.rebuild import Outdated, Rebuild
from processing.receipts import Place, Receipts
from processing.reconciliation import Reconciliation
from processing.rules import SiteRules
from processing.stats import now_ms
from tests.processing.pipeline import SITE, Pipeline, page_view
from tests.processing.wiring import add_sites, archive_all, wire

pytestmark = pytest.mark.django_db(transaction=True)
embedded = pytest.mark.parametrize("servers", ["embedded"], indirect=True)
apache = pytest.mark.parametrize("servers", ["apache"], indirect=True)

OTHER = "other.example"
DAY_MS = 86_400_000
USER = "ada@example.com"


@pytest.fixture(autouse=True)
def wired(pipeline: Pipeline, settings: Any, tmp_path: Path) -> None:
    wire(pipeline, settings, tmp_path)
    add_sites(pipeline, {SITE: SiteRules("Europe/Berlin", 30), OTHER: SiteRules()})
    pipeline.forgotten = FollowedForgotten(max_age=0)


def hash_of(user: str, site: str = SITE) -> str:
    return VisitorHash(django_settings.SECRET_KEY, lambda _: b"").of_user(site, user)


def traffic(n: int = 60) -> list[Any]:
    """Some of everything, some of it Ada's, all of it arrived before anybody counts it."""
    now, ada = now_ms(), hash_of(USER)
    events: list[Any] = []
    for k in range(n):
        own = k % 4 == 0
        visitor = ada if own else f"v{k % 7}"
        events.append(
            page_view(
                f"/ada/{k % 3}" if own else f"/{k % 5}",
                visitor,
                site=OTHER if k % 6 == 1 else SITE,
                ts=now - (k % 3) * DAY_MS - (40 * DAY_MS if k % 20 == 0 else 0),
                received=now + k,
                # Of copies in two partitions either may be counted (SPEC.md §7).
                id=f"{visitor}-{k % 20}",
                retryable=k % 2 == 0,
                bot="crawler" if k % 12 == 4 else None,
                title="Ada's own title" if own else None,
                props={"plan": "secret"} if own else None,
            )
        )
    return [*events, b"nonsense"]


def adas(events: list[Any]) -> list[Any]:
    return [e for e in events if not isinstance(e, bytes) and e.visitor == hash_of(USER)]


def run(*options: str) -> str:
    out = StringIO()
    call_command("forget", *options, stdout=out)
    return out.getvalue()


def ada(*options: str) -> str:
    return run("--site", SITE, "--user-id", USER, "--yes", *options)


def differences() -> list[str]:
    return [str(one) for one in Reconciliation.from_settings().run().differences]


def numbers(pipeline: Pipeline, *sites: str) -> dict[str, Any]:
    """What people see, and the balance."""
    today = datetime.now(UTC).date()
    first, last = today - timedelta(days=50), today + timedelta(days=1)
    found: dict[str, Any] = {}
    for name in sites or (SITE, OTHER):
        site = pipeline.site_in(pipeline.rules[name].time_zone)
        site.public_id = name
        found[name] = (
            pipeline.stats.totals(site, first, last),
            pipeline.stats.pages(site, first, last, 100),
            pipeline.stats.top(site, first, last, "entry_page", 100).results,
            pipeline.stats.top(site, first, last, "bot_reason", 100).results,
            pipeline.stats.site_ledger(site, first, last),
        )
    ledger = pipeline.stats.ledger()
    return found | {"totals": ledger["totals"], "earlier": ledger["earlier_logs"]}


def balanced(pipeline: Pipeline) -> int:
    """How many are forgotten, of a ledger that adds up."""
    totals: dict[str, int] = pipeline.stats.ledger()["totals"]
    categories = ("counted", "duplicate", "bot", "late", "invalid", "forgotten")
    assert totals["read"] == sum(totals[name] for name in categories)
    return totals["forgotten"]


def archived() -> pa.Table:
    archive = Archive.from_settings()
    segments = Segment.objects.filter(state="written").order_by("partition", "start")
    return pa.concat_tables(archive.read(segment) for segment in segments)


def objects(tmp_path: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in tmp_path.rglob("*.parquet")}


def assert_nothing_left(pipeline: Pipeline, tmp_path: Path) -> None:
    ada = hash_of(USER)
    rows = archived().to_pylist()
    left = [row for row in rows if row["visitor"] == ada and row["site"] == SITE]
    assert left == []
    listed = set(Segment.objects.filter(state="written").values_list("key", flat=True))
    archive = tmp_path / "archive"
    assert {str(Path(name).relative_to(archive)) for name in objects(archive)} == listed
    client: Any = pipeline.client
    for name in client.scan_iter("*"):
        assert ada.encode() not in name
        kind = client.type(name)
        if kind == b"hash":
            assert ada.encode() not in client.hkeys(name)
            assert not any(b"/ada/" in field for field in client.hkeys(name))
        elif kind == b"zset":
            assert not any(b"/ada/" in member for member in client.zrange(name, 0, -1))
            assert ada.encode() not in client.zrange(name, 0, -1)


def test_nothing_of_a_user_is_left_and_everything_adds_up(
    pipeline: Pipeline, tmp_path: Path
) -> None:
    first, second = traffic(), traffic()
    pipeline.send(first)
    pipeline.count_all(61)
    archive_all()
    pipeline.send(second)
    pipeline.count_all(122)
    before = numbers(pipeline)
    places = archived().select(["partition", "offset"])
    told = ada()
    own = len(adas(first)) + len(adas(second))
    assert f"{len(adas(first)):,} archived events emptied" in told
    assert balanced(pipeline) == own > 0
    assert differences() == []
    assert archived().select(["partition", "offset"]) == places
    assert_nothing_left(pipeline, tmp_path)
    after = numbers(pipeline)
    assert after[OTHER] == before[OTHER]
    assert not any("/ada/" in page["path"] for page in after[SITE][1])
    rest = [page for page in before[SITE][1] if "/ada/" not in page["path"]]
    assert [(p["path"], p["pageviews"]) for p in after[SITE][1]] == [
        (p["path"], p["pageviews"]) for p in rest
    ]
    # What is archived from Kafka now is without it too.
    archive_all()
    assert_nothing_left(pipeline, tmp_path)
    forgotten = [row for row in archived().to_pylist() if row["id"] is None and row["raw"] is None]
    assert len(forgotten) == own
    kept = {name for row in forgotten for name, value in row.items() if value is not None}
    assert kept == {"partition", "offset", "received"}
    assert differences() == []
    # An emptied store comes to the same numbers.
    pipeline.client.flushall()
    archive = Archive.from_settings()
    pipeline.run_until(pipeline.consumer(archive), lambda: pipeline.read() == 122)
    assert numbers(pipeline) == after
    assert differences() == []
    # So does a rebuild; and who comes back is counted.
    call_command("rebuild", stdout=StringIO())
    assert numbers(pipeline) == after
    pipeline.send([page_view("/back", hash_of(USER))])
    pipeline.count_all(123)
    assert balanced(pipeline) == own
    assert differences() == []


@embedded
def test_a_site_goes_whole(pipeline: Pipeline, tmp_path: Path) -> None:
    events = traffic()
    pipeline.send(events)
    pipeline.count_all(61)
    archive_all()
    before = numbers(pipeline, OTHER)
    run("--site", SITE, "--all", "--yes")
    at_site = [e for e in events if not isinstance(e, bytes) and e.site == SITE]
    assert balanced(pipeline) == len(at_site)
    assert differences() == []
    assert numbers(pipeline, OTHER)[OTHER] == before[OTHER]
    assert not list(pipeline.client.scan_iter(f"*{SITE}*"))
    assert set(archived()["site"].to_pylist()) == {OTHER, None}
    assert SITE.encode() not in b"".join(objects(tmp_path).values())


@embedded
def test_a_visitor_may_be_named_by_the_hash(pipeline: Pipeline) -> None:
    pipeline.send([page_view("/a", "00000000000000aa"), page_view("/b", "00000000000000bb")])
    pipeline.count_all(2)
    run("--site", SITE, "--visitor", "00000000000000aa", "--yes")
    assert balanced(pipeline) == 1
    assert [page["path"] for page in numbers(pipeline)[SITE][1]] == ["/b"]


@embedded
def test_what_waits_to_be_counted_is_forgotten_when_it_is_read(pipeline: Pipeline) -> None:
    pipeline.send([page_view("/a", hash_of(USER)), page_view("/b")])
    pipeline.count_all(2)
    pipeline.send([page_view("/a", hash_of(USER), received=now_ms() - 10)] * 3)
    ada()
    assert balanced(pipeline) == 1
    pipeline.count_all(5)
    assert balanced(pipeline) == 4
    assert differences() == []


@embedded
def test_a_copy_by_another_visitor_is_no_duplicate_any_more(pipeline: Pipeline) -> None:
    """The same event, sent again from another address: what it repeated is gone."""
    copies = [
        page_view("/a", visitor, id="same", retryable=True, received=now_ms() - 100)
        for visitor in (hash_of(USER), "v2", "v3")
    ]
    pipeline.send(copies[:2], partition=0)
    pipeline.count_all(2)
    archive_all()
    ada()
    totals = pipeline.stats.ledger()["totals"]
    assert (totals["forgotten"], totals["counted"], totals["duplicate"]) == (1, 1, 0)
    pipeline.send(copies[2:], partition=0)
    pipeline.count_all(3)
    assert pipeline.stats.ledger()["totals"]["duplicate"] == 1
    assert differences() == []


@embedded
def test_receipts_say_so(pipeline: Pipeline) -> None:
    pipeline.send([page_view("/a", hash_of(USER)), page_view("/b")], partition=0)
    pipeline.count_all(2)
    receipts = Receipts.from_settings()
    forget.begin(SITE, hash_of(USER), now_ms())
    for _ in range(2):
        fates = [receipts.find(Place(0, offset)) for offset in range(2)]
        assert [fate.outcome for fate in fates] == ["forgotten", "counted"]
        assert fates[0].page_view is None and fates[0].site is None
        run()
        archive_all()


@embedded
def test_shards_are_told_and_swapped_each(pipeline: Pipeline, settings: Any) -> None:
    pipeline.shards = pipeline.stats.shards = settings.REDIS_SHARDS = 4
    assert keys.shard_of(SITE, 4) != 0  # where the tally is kept of what has no site
    events = traffic()
    pipeline.send(events)
    pipeline.count_all(61)
    archive_all()
    ada()
    assert balanced(pipeline) == len(adas(events))
    assert differences() == []


class Bomb:
    """Kills at the `at`-th of the calls that were fitted with it, before or after it works."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.at = self.calls = 0
        for owner, name in (
            (forget, "tell_store"),
            (forget, "take_out_of_now"),
            (ObjectStore, "put"),
            (ObjectStore, "delete"),
            (Rebuild, "_swap_shard"),
            (Rebuild, "clear_all"),
            (forget, "finish"),
        ):
            monkeypatch.setattr(owner, name, self._fitted(getattr(owner, name)))

    def _fitted(self, call: Any) -> Any:
        def fitted(*arguments: Any) -> Any:
            self._count()
            answer = call(*arguments)
            self._count()
            return answer

        return fitted

    def _count(self) -> None:
        self.calls += 1
        if self.calls == self.at:
            raise KeyboardInterrupt


@embedded
def test_it_finishes_after_a_kill_between_any_two_steps(
    pipeline: Pipeline, tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline.shards = pipeline.stats.shards = settings.REDIS_SHARDS = 2
    bomb, kills, sent = Bomb(monkeypatch), 0, 0
    while True:
        pipeline.send(traffic(12))
        sent += 13
        pipeline.count_all(sent)
        bomb.at = 0
        archive_all()
        bomb.calls, bomb.at = 0, kills + 1
        try:
            ada()
        except CommandError as stopped:
            assert "Stopped" in str(stopped)
            kills += 1
        else:
            break
        bomb.at = 0
        run()
        assert not Forgetting.objects.filter(done_at=None).exists()
        assert differences() == []
        assert_nothing_left(pipeline, tmp_path)
        assert not list(pipeline.client.scan_iter("rebuild:*"))
    # Before and after each of the steps that there are at least.
    assert kills >= 16


@embedded
def test_a_consumer_that_does_not_know_yet_counts_nothing(pipeline: Pipeline) -> None:
    known = pipeline.forgotten = FollowedForgotten(max_age=1e9)
    assert known().number == 0
    pipeline.send([page_view("/a", hash_of(USER), received=now_ms() - 10), page_view("/b")])
    ada()
    assert known().number == 0
    pipeline.count_all(2)
    assert known().number == 1
    assert balanced(pipeline) == 1
    assert differences() == []


@embedded
def test_nothing_is_counted_while_the_database_lacks_what_the_store_was_told(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("processing.counting.UNKNOWN_S", 0.0)
    pipeline.client.sadd(keys.forgotten(0), 1)
    pipeline.send([page_view("/a")])
    consumer = pipeline.consumer()
    warned: list[str] = []
    monkeypatch.setattr(
        "processing.consumer.logger.warning", lambda text, *values: warned.append(text % values)
    )
    pipeline.run_until(consumer, lambda: any("manage.py forget" in text for text in warned))
    assert issubclass(ForgettingUnknown, MarkerMoved)
    assert pipeline.read() == 0
    forget.begin(SITE, "00000000000000aa", now_ms())
    pipeline.count_all(1)


@embedded
def test_a_rebuild_that_began_before_does_not_bring_it_back(pipeline: Pipeline) -> None:
    pipeline.send([page_view("/a", hash_of(USER)), page_view("/b")])
    pipeline.count_all(2)
    rebuild = rebuild_of([pipeline.site])
    for _ in rebuild.count():
        pass
    ada()
    assert not list(pipeline.client.scan_iter("rebuild:*"))
    for _ in rebuild.count():
        pass
    with pytest.raises(Outdated):
        rebuild.swap()
    rebuild.clear()
    assert differences() == []


@apache
def test_it_takes_nothing_out_of_other_numbers_unasked(pipeline: Pipeline) -> None:
    pipeline.send((page_view(f"/{n}", hash_of(USER) if n % 2 else "v") for n in range(10)), 0)
    pipeline.count_all(10)
    pipeline.expire(0, before=4)
    before = numbers(pipeline)
    with pytest.raises(CommandError, match="4 events that were counted are neither"):
        ada()
    assert numbers(pipeline) == before
    ada("--accept-loss")
    totals = pipeline.stats.ledger()["totals"]
    assert (totals["counted"], totals["forgotten"], totals["expired"]) == (3, 3, 4)
    assert differences() == []


# --- The archive ----------------------------------------------------------------------


def filled_segment(pipeline: Pipeline, archive_url: str) -> tuple[Archive, Segment]:
    pipeline.send([page_view("/a", hash_of(USER)), page_view("/b"), b"nonsense"], partition=0)
    archive = Archive(pipeline.log, ObjectStore(archive_url), 50)
    (segment,) = archive.plan()
    return archive, segment


def test_an_object_is_replaced_in_a_folder_and_in_s3(pipeline: Pipeline, archive_url: str) -> None:
    archive, segment = filled_segment(pipeline, archive_url)
    archive.write(segment)
    plain, known = segment.key, Segment.objects.get(pk=segment.pk)
    forget.begin(SITE, hash_of(USER), now_ms() + 1)
    assert archive.forget(segment, read_forgotten()) == 1
    assert archive.store.size(plain) is None
    assert segment.key == plain.replace(".parquet", ".f1.parquet")
    rows = archive.read(segment).to_pylist()
    assert [row["path"] for row in rows] == [None, "/b", None]
    assert [row["raw"] for row in rows] == [None, None, b"nonsense"]
    assert archive.forget(segment, read_forgotten()) == 0
    # Who had looked the segment up before finds its object nevertheless.
    assert known.key == plain
    (batch,) = archive.batches(known, 100)
    assert (batch.offsets, batch.forgotten, batch.invalid) == ([0, 1, 2], [0], [2])


@embedded
def test_an_object_without_it_stays_as_it_is(pipeline: Pipeline, tmp_path: Path) -> None:
    archive, segment = filled_segment(pipeline, f"file://{tmp_path}")
    archive.write(segment)
    before = objects(tmp_path)
    forget.begin(SITE, "00000000000000aa", now_ms())
    assert archive.forget(segment, read_forgotten()) == 0
    assert objects(tmp_path) == before
    assert Segment.objects.get(pk=segment.pk).forgotten_to == 1


@embedded
def test_a_slow_writer_that_did_not_know_leaves_nothing(
    pipeline: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two workers have the same segment, and between them somebody is forgotten."""
    archive, segment = filled_segment(pipeline, f"file://{tmp_path}")
    put = archive.store.put

    def put_late(source: Path, key: str) -> int:
        size = put(source, key)
        forget.begin(SITE, hash_of(USER), now_ms() + 1)
        Archive(pipeline.log, ObjectStore(f"file://{tmp_path}"), 50).write(
            Segment.objects.get(pk=segment.pk)
        )
        return put(source, key) or size

    monkeypatch.setattr(archive.store, "put", put_late)
    archive.write(segment)
    assert [Path(name).name for name in objects(tmp_path)] == [Path(object_key(segment, 1)).name]
    assert archive.read(segment)["path"].to_pylist() == [None, "/b", None]


@embedded
def test_a_writer_that_did_not_know_is_made_up_for_by_the_task(
    pipeline: Pipeline, settings: Any, tmp_path: Path
) -> None:
    from processing import tasks

    settings.CELERY_TASK_ALWAYS_EAGER = True
    archive, segment = filled_segment(pipeline, settings.ARCHIVE_URL)
    archive.write(segment)
    Forgetting.objects.create(number=1, site=SITE, visitor=hash_of(USER), before=now_ms() + 1)
    tasks.archive()
    assert archived()["path"].to_pylist() == [None, "/b", None]


@apache
def test_a_forgetting_is_itself_forgotten_once_kafka_has_nothing_of_it(pipeline: Pipeline) -> None:
    now = timezone.now()
    pipeline.send([page_view("/a", hash_of(USER))], partition=0)
    pipeline.count_all(1)
    archive_all()
    ada()
    later = now + timedelta(days=3)
    assert forget.retire(pipeline.log, now) == 0
    assert forget.retire(pipeline.log, later) == 0
    pipeline.expire(0, before=1)
    assert forget.retire(pipeline.log, later) == 1
    (left,) = Forgetting.objects.all()
    assert (left.number, left.site, left.visitor) == (1, "", "")
    assert forget.begin(SITE, "x", 1).number == 2


# --- The command ----------------------------------------------------------------------


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    given: list[str] = []
    monkeypatch.setattr("builtins.input", lambda _: given.pop(0))
    yield given
    assert given == []


@embedded
def test_it_asks_first(pipeline: Pipeline, answers: list[str]) -> None:
    answers.append("")
    with pytest.raises(CommandError, match="Nothing was forgotten"):
        run("--site", SITE, "--all")
    assert not Forgetting.objects.exists()
    pipeline.send([page_view("/a")])
    pipeline.count_all(1)
    answers.append("y")
    run("--site", SITE, "--all")
    assert balanced(pipeline) == 1


@embedded
@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--all"], "Give --site and one of"),
        (["--site", SITE], "Give --site and one of"),
        (["--site", SITE, "--all", "--user-id", "u"], "Give --site and one of"),
        (["--site", "no.example", "--user-id", "u"], "there is no such site"),
        (["--site", SITE, "--visitor", "ADA"], "a hash has 16 hexadecimal digits"),
    ],
)
def test_it_says_what_is_wrong(options: list[str], sentence: str) -> None:
    with pytest.raises(CommandError, match=sentence):
        run(*options, "--yes")
    assert not Forgetting.objects.exists()


@embedded
def test_it_has_nothing_to_finish(pipeline: Pipeline) -> None:
    assert run() == "Nothing is to be forgotten.\n"


def test_what_arrived_afterwards_is_not_forgotten() -> None:
    forgotten = Forgotten(2, {SITE: {"v1": 100, EVERYONE: 50}})
    assert forgotten.hides(SITE, "v1", 99) and forgotten.hides(SITE, "v2", 49)
    assert not forgotten.hides(SITE, "v1", 100)
    assert not forgotten.hides(SITE, "v2", 50)
    assert not forgotten.hides(OTHER, "v1", 0)
    assert not forgotten.hides(None, None, None)
