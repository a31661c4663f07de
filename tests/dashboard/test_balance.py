"""The balance: what the API says of it, and the page that shows it."""

import json
import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.utils import timezone

from dashboard.balance import BEHIND, BUSY, GONE, LOST, OK, judge
from dashboard.models import ApiKey
from ingest.models import Site
from processing import keys
from processing.archive_progress import ArchiveProgress
from processing.calendar import today
from processing.models import Planning, Segment
from processing.stats import now_ms
from tests.dashboard.counting import TOPIC, CountedStore, local
from tracker_site.embedded.servers import Valkey

pytestmark = pytest.mark.django_db
LEDGER = "/api/v1/ledger"


@pytest.fixture
def viewer(site: Site) -> Client:
    """A person who may view sites and nothing else."""
    user = User.objects.create_user("ann")
    user.user_permissions.add(Permission.objects.get(codename="view_site"))
    client = Client()
    client.force_login(user)
    return client


def segment(counted: CountedStore, start: int, end: int, **fields: Any) -> Segment:
    values: dict[str, Any] = {
        "topic": TOPIC,
        "topic_id": counted.topic_id,
        "partition": 0,
        "state": "written",
        "planned_at": timezone.now(),
    }
    values |= fields
    rows = end - start if values["state"] == "written" else None
    return Segment.objects.create(start=start, end=end, **({"rows": rows} | values))


def report(counted: CountedStore, age_ms: int = 0, waiting: int = 0, silent_ms: int = 0) -> None:
    now = now_ms()
    counted.report(now - age_ms, at=now - silent_ms, log_end=counted.offset + waiting)


def balance(client: Client, **query: Any) -> Any:
    response = client.get(LEDGER, query)
    assert response.status_code == 200, response.content
    return response.json()


def text_of(response: Any) -> str:
    """What a person reads, without the tags."""
    html = re.sub(r"<script.*?</script>", "", response.content.decode(), flags=re.DOTALL)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html))


def page(client: Client, **query: Any) -> str:
    response = client.get("/balance", query)
    assert response.status_code == 200
    return text_of(response)


# --- The archive's side of the ledger --------------------------------------------------


def test_it_tells_how_far_the_archive_is(counted: CountedStore, site: Site, reader: Client) -> None:
    counted.count(*(counted.view(site) for _ in range(10)))
    segment(counted, 0, 4)
    segment(counted, 4, 6, state="failed")
    segment(counted, 6, 9, rows=2)
    segment(counted, 0, 100, topic_id="an earlier log")
    segment(counted, 0, 100, topic="another topic", topic_id="another")
    found = balance(reader)
    (row,) = found["partitions"]
    assert (row["archived_to"], row["archived_rows"]) == (4, 6)
    assert found["totals"]["archived_rows"] == 6
    assert found["earlier_logs"]["archived_rows"] == 100
    segments = {states["state"]: states["segments"] for states in found["archive"]}
    assert segments == {"planned": 0, "written": 3, "failed": 1, "lost": 0}
    Segment.objects.filter(state="failed").update(state="written", rows=2)
    (row,) = balance(reader)["partitions"]
    assert (row["archived_to"], row["archived_rows"]) == (9, 8)


def test_it_is_archived_to_nowhere_before_the_first_segment(
    counted: CountedStore, site: Site, reader: Client
) -> None:
    counted.count(counted.view(site))
    (row,) = balance(reader)["partitions"]
    assert (row["archived_to"], row["archived_rows"]) == (0, 0)


def test_it_tells_which_segment_has_waited_longest(counted: CountedStore, reader: Client) -> None:
    long_ago = datetime(2026, 11, 22, 3, 4, tzinfo=UTC)
    segment(counted, 0, 5, state="planned", planned_at=long_ago)
    segment(counted, 5, 9, state="planned")
    planned = next(s for s in balance(reader)["archive"] if s["state"] == "planned")
    expected = {"state": "planned", "segments": 2, "events": 9}
    assert planned == expected | {"oldest": "2026-11-22T03:04:00+00:00"}


# --- A site's days ---------------------------------------------------------------------


def test_it_tells_a_sites_days(counted: CountedStore, site: Site, reader: Client) -> None:
    """Against the keys that SPEC.md §4 names."""
    names = keys.SiteKeys(site.public_id, 1)
    ledger = {"counted": 7, "duplicate": 2, "bot": 1, "late": 3}
    counted.client.hset(names.ledger(20261122), mapping=ledger)
    counted.client.hset(names.ledger(20261123), mapping={"counted": 1})
    query = {"site": site.public_id, "from": "2026-11-21", "to": "2026-11-23"}
    found = balance(reader, **query)
    assert (found["site"], found["time_zone"]) == ("example.com", "UTC")
    assert [day["day"] for day in found["days"]] == ["2026-11-21", "2026-11-22", "2026-11-23"]
    assert [day["read"] for day in found["days"]] == [0, 13, 1]
    assert found["days"][1].items() >= ledger.items()
    assert found["totals"] == {"read": 14, "counted": 8, "duplicate": 2, "bot": 1, "late": 3}


def test_its_days_are_those_of_the_arrival_in_the_sites_time_zone(
    counted: CountedStore, reader: Client
) -> None:
    site = Site.objects.create(public_id="far.example", time_zone="Pacific/Auckland")
    midnight = local(today(site.time_zone, now_ms()), "00:00", site.time_zone)
    counted.count(
        counted.view(site, received=midnight - 1, ts=midnight + 1),
        counted.view(site, received=midnight, ts=midnight - 1, id="a", retryable=True),
        counted.view(site, received=midnight, ts=midnight - 1, id="a", retryable=True),
    )
    yesterday = today(site.time_zone, midnight - 1)
    found = balance(reader, **{"site": "far.example", "from": yesterday.isoformat()})
    assert [(day["read"], day["counted"]) for day in found["days"]] == [(1, 1), (2, 1)]
    assert date.fromisoformat(found["days"][0]["day"]) == yesterday


def test_a_key_of_the_site_is_enough_for_its_days(counted: CountedStore, site: Site) -> None:
    Site.objects.create(public_id="other.example")
    _, text = ApiKey.issue("k", sites=[site])
    client = Client(headers={"Authorization": f"Bearer {text}"})
    assert client.get(LEDGER, {"site": "example.com"}).status_code == 200
    for query in ({}, {"site": "other.example"}, {"site": "nowhere.example"}):
        assert client.get(LEDGER, query).status_code == 403


@pytest.mark.parametrize(
    ("query", "status", "reason"),
    [
        ({"from": "2026-11-01"}, 400, "name the “site”"),
        ({"to": "2026-11-01"}, 400, "name the “site”"),
        ({"site": "example.com", "from": "yesterday"}, 400, "YYYY-MM-DD"),
        ({"site": "nowhere.example"}, 404, "No site"),
    ],
)
def test_it_refuses_what_it_can_not_answer(
    counted: CountedStore,
    site: Site,
    reader: Client,
    query: dict[str, str],
    status: int,
    reason: str,
) -> None:
    response = reader.get(LEDGER, query)
    assert response.status_code == status
    assert reason in response.json()["error"]["reason"]


# --- The verdict -----------------------------------------------------------------------


def count_some(counted: CountedStore, site: Site) -> None:
    again = counted.view(site, retryable=True)
    counted.count(counted.view(site), again, again)


LONG_AGO = datetime(2026, 11, 20, 3, 4, tzinfo=UTC)
Step = Callable[[CountedStore], object]


def miscount(counted: CountedStore) -> None:
    counted.client.hset(keys.ledger(0, counted.topic_id), "0:counted", 1)


def rebuild(counted: CountedStore) -> None:
    goals = {f"{counted.topic_id}:0": 6, "total": 6}
    counted.client.hset(keys.rebuilding(TOPIC), mapping=goals)


def planned(seconds_ago: int = 0, **fields: Any) -> None:
    Planning.objects.create(
        topic=TOPIC, at=timezone.now() - timedelta(seconds=seconds_ago), **fields
    )


def first_counted(counted: CountedStore, seconds_ago: int) -> None:
    counted.client.zadd(keys.logs(TOPIC), {counted.topic_id: now_ms() - seconds_ago * 1_000})


# By name: what happened after three events were counted, the state, and words of the verdict.
VERDICTS: dict[str, tuple[list[Step], str, str]] = {
    "balanced": (
        [report],
        OK,
        "Everything adds up: 3 read = 2 counted + 1 duplicate; nothing waits.",
    ),
    "in motion": (
        [lambda counted: report(counted, age_ms=400, waiting=17)],
        OK,
        "Everything adds up: 3 read = 2 counted + 1 duplicate; 17 just arrived.",
    ),
    "behind": (
        [lambda counted: report(counted, age_ms=134_000, waiting=1_234)],
        BEHIND,
        "2m 14s behind: 1,234 events wait to be counted. So far 3 read = 2 counted + 1 duplicate.",
    ),
    "one behind": (
        [lambda counted: report(counted, age_ms=12_000, waiting=1)],
        BEHIND,
        "12 s behind: 1 event waits to be counted.",
    ),
    "silent": (
        [lambda counted: report(counted, age_ms=11_000_000, silent_ms=60_000)],
        BEHIND,
        "3h 3m behind: no consumer has reported for some seconds.",
    ),
    "unknown": ([], GONE, "No consumer has reported yet."),
    "rebuilding": (
        [report, rebuild],
        BUSY,
        "Rebuilding 50%: the live store was emptied and is counted again from the archive and the "
        "log. So far 3 read = 2 counted + 1 duplicate.",
    ),
    "invalid": (
        [lambda counted: counted.tally(invalid=5), report],
        BEHIND,
        "5 messages could not be read and are kept in the topic pageviews.dead",
    ),
    "expired": (
        [lambda counted: counted.tally(expired=1_200), report],
        LOST,
        "1,200 events lost: expired in Kafka, not counted, not archived.",
    ),
    "does not add up": (
        [report, miscount],
        LOST,
        "Partition 0 does not add up: 3 read, but 2 accounted for.",
    ),
    "failed segments": (
        [report, lambda counted: segment(counted, 0, 3, state="failed", planned_at=LONG_AGO)],
        BEHIND,
        "The archive could not write 1 segment and tries again by itself; the oldest has waited "
        "since 2026-11-20 03:04 UTC.",
    ),
    "archive behind": (
        [
            report,
            lambda counted: segment(counted, 0, 2, state="planned", planned_at=LONG_AGO),
            lambda counted: segment(counted, 2, 3, state="planned"),
        ],
        BEHIND,
        "The archive is behind: 2 segments not written, the oldest planned at 2026-11-20 03:04",
    ),
    "archive at work": (
        [report, lambda counted: segment(counted, 0, 3, state="planned")],
        OK,
        "nothing waits.",
    ),
    "log cut back": (
        [report, lambda counted: planned(cut_back={"1": 40, "0": 1})],
        LOST,
        "Partition 0 was cut back: Kafka ends 1 event before what is planned to be archived.",
    ),
    "beat stands still": (
        [report, lambda counted: planned(seconds_ago=5 * 300 + 61)],
        BEHIND,
        "The archive has not looked for new events since ",
    ),
    "beat never ran": (
        [report, lambda counted: first_counted(counted, seconds_ago=5 * 300 + 61)],
        BEHIND,
        "beat and a worker run?",
    ),
    "beat runs": (
        [
            report,
            lambda counted: first_counted(counted, seconds_ago=86_400),
            lambda counted: planned(seconds_ago=5 * 300 + 50),
        ],
        OK,
        "nothing waits.",
    ),
    "lost segment": (
        [report, lambda counted: segment(counted, 0, 3, state="lost")],
        LOST,
        "3 events lost to the archive, in 1 segment.",
    ),
    "lost in an earlier log": (
        [report, lambda counted: segment(counted, 0, 3, state="lost", topic_id="before")],
        OK,
        "nothing waits.",
    ),
}


@pytest.mark.parametrize(("steps", "state", "words"), VERDICTS.values(), ids=VERDICTS.keys())
def test_it_says_what_adds_up_and_what_does_not(
    counted: CountedStore,
    site: Site,
    reader: Client,
    viewer: Client,
    steps: list[Step],
    state: str,
    words: str,
) -> None:
    count_some(counted, site)
    for step in steps:
        step(counted)
    verdict = balance(reader)["verdict"]
    said = " ".join([verdict["sentence"], *(r["sentence"] for r in verdict["remarks"])])
    assert (verdict["state"], words in said) == (state, True), said
    assert words in page(viewer)


def test_it_says_the_worst_first(counted: CountedStore, site: Site, reader: Client) -> None:
    counted.tally(invalid=1)
    counted.tally(expired=2)
    report(counted)
    verdict = balance(reader)["verdict"]
    assert [remark["state"] for remark in verdict["remarks"]] == [LOST, BEHIND]
    assert verdict["sentence"] == (
        "Everything adds up: 1 read = 0 counted + 1 invalid; nothing waits."
    )
    assert (verdict["state"], verdict["sentence_state"]) == (LOST, OK)


@pytest.mark.parametrize(
    ("counted_events", "adds_up"),
    [(99, False), (100, True), (105, True), (110, True), (111, False)],
)
def test_a_shard_that_is_ahead_is_no_error(counted_events: int, adds_up: bool) -> None:
    """One shard has counted up to 110, the other up to 100."""
    numbers = dict.fromkeys(("duplicate", "bot", "late", "invalid", "forgotten", "expired"), 0)
    totals = numbers | {"read": 100, "counted": counted_events}
    row = totals | {"partition": 3, "in_flight": 10}
    ledger = {"topic_id": "L", "partitions": [row], "totals": totals}
    as_of = {"state": "live", "lag": 0, "age_seconds": 0.1}
    verdict = judge(ledger, as_of, ArchiveProgress(), now_ms())
    assert (verdict.state == OK) is adds_up
    assert ("Everything adds up" in verdict.sentence) is adds_up


def test_it_does_not_call_a_lag_known_that_nobody_reports(
    counted: CountedStore, site: Site, reader: Client
) -> None:
    """The consumer is gone; the archive knows that the log went on."""
    count_some(counted, site)
    report(counted, silent_ms=60_000)
    segment(counted, 0, 50)
    (row,) = balance(reader)["partitions"]
    assert (row["log_end"], row["marker"], row["lag"]) == (50, 3, None)


# --- The page --------------------------------------------------------------------------


def test_it_shows_the_tables_without_javascript(
    counted: CountedStore, site: Site, viewer: Client
) -> None:
    counted.count(*(counted.view(site) for _ in range(1_234)))
    counted.tally(1, invalid=2)
    report(counted)
    segment(counted, 0, 1_000)
    text = page(viewer)
    assert "Partition Log end Counted up to Lag Read Counted" in text
    assert "0 1,234 1,234 0 1,234 1,234 0 0 0 0" in text
    assert "written 1 1,000" in text
    assert f"{today('UTC', now_ms())} 1,234 1,234 0 0 0" in text
    assert "All 0 1,236 1,234 0 0 0 2" in text
    assert text.count("Expired") == 2 and "Balance" in text


def test_it_shows_columns_of_what_never_happens_only_when_it_does(
    counted: CountedStore, site: Site, viewer: Client
) -> None:
    head = '<th scope="col" data-column="expired" data-optional hidden>'
    count_some(counted, site)
    assert head in viewer.get("/balance").content.decode()
    counted.tally(expired=2)
    html = viewer.get("/balance").content.decode()
    assert 'data-column="expired" data-optional>Expired' in html


def test_it_shows_the_site_that_is_chosen(
    counted: CountedStore, site: Site, viewer: Client
) -> None:
    other = Site.objects.create(public_id="b.example", name="Other & co")
    counted.count(counted.view(other), counted.view(other))
    response = viewer.get("/balance", {"site": "b.example"})
    assert '<option value="b.example" selected>Other &amp; co' in response.content.decode()
    assert f"{today('UTC', now_ms())} 2 2 0 0 0" in text_of(response)
    html = response.content.decode()
    (addresses,) = re.findall(r'id="addresses" type="application/json">(.*?)</script>', html)
    first = today("UTC", now_ms()) - timedelta(days=6)
    assert json.loads(addresses) == [LEDGER, f"{LEDGER}?site=b.example&from={first}"]
    assert viewer.get("/balance", {"site": "nowhere.example"}).status_code == 404


def test_it_works_without_any_site_or_event(counted: CountedStore, admin_client: Client) -> None:
    assert "No consumer has reported yet." in page(admin_client)


def test_it_links_states_to_the_segments_for_those_who_may_see_them(
    counted: CountedStore, viewer: Client, admin_client: Client
) -> None:
    link = "/admin/processing/segment/?state__exact=failed"
    assert link in admin_client.get("/balance").content.decode()
    assert link not in viewer.get("/balance").content.decode()
    assert admin_client.get(link).status_code == 200


def test_it_wants_a_login_and_the_permission(counted: CountedStore, site: Site) -> None:
    assert Client().get("/balance")["Location"] == "/login?next=/balance"
    client = Client()
    client.force_login(User.objects.create_user("nobody"))
    assert client.get("/balance").status_code == 403


def test_it_is_in_the_menu_and_behind_the_trust_badge(
    counted: CountedStore, site: Site, viewer: Client
) -> None:
    html = viewer.get("/sites/example.com/").content.decode()
    assert '<a href="/balance">Balance</a>' in html
    assert '<a href="/balance?site=example.com">Does everything add up?</a>' in html


def test_it_says_that_the_live_store_is_away(
    mortal_store: Valkey, site: Site, viewer: Client
) -> None:
    mortal_store.stop()
    text = page(viewer)
    assert "The live store does not answer, so nothing can be added up." in text
    assert "Partition" not in text
    assert viewer.get(LEDGER).status_code == 503
    mortal_store.start()
    assert "No consumer has reported yet." in page(viewer)


def test_it_adds_up_earlier_logs_apart(
    counted: CountedStore, site: Site, reader: Client, viewer: Client
) -> None:
    count_some(counted, site)
    counted.topic_id, counted.offset = "made again", 0
    counted.count(counted.view(site))
    found = balance(reader)
    assert (found["totals"]["read"], found["earlier_logs"]["read"]) == (1, 3)
    assert "All earlier 3 2 1 0 0 0" in page(viewer)
