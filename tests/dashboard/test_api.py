"""The JSON API over counts that the product's own write path made."""

from collections.abc import Callable
from datetime import date, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.utils import timezone

from dashboard.models import ApiKey
from ingest.models import Site
from processing.stats import now_ms
from tests.conftest import Servers, make_topic
from tests.dashboard.conftest import forget_reader, read_from
from tests.dashboard.counting import CountedStore, local
from tests.processing.pipeline import Pipeline, page_view
from tracker_site.embedded.servers import Valkey

DAY = date(2026, 3, 14)
TOTALS = "stats/example.com/totals"
PAGES = "stats/example.com/pages"
NOW = "stats/example.com/now"
TIMESERIES = "stats/example.com/timeseries"
TOP = "stats/example.com/top?dimension=browser"
ENDPOINTS = [TOTALS, PAGES, NOW, TIMESERIES, TOP, "ledger"]


def get(client: Client, path: str, **query: Any) -> Any:
    return client.get(f"/api/v1/{path}", query)


def body(client: Client, path: str, **query: Any) -> Any:
    response = get(client, path, **query)
    assert response.status_code == 200, response.content
    return response.json()


def counts(client: Client, site: Site, **query: Any) -> tuple[int, int]:
    totals = body(client, f"stats/{site.public_id}/totals", **query)
    return totals["pageviews"], totals["visitors"]


def bearer(text: str) -> Client:
    return Client(headers={"Authorization": f"Bearer {text}"})


# --- Numbers ---------------------------------------------------------------------------


def test_it_tells_what_the_consumer_counted(
    embedded_servers: Servers,
    counted: CountedStore,
    settings: Any,
    site: Site,
    reader: Client,
) -> None:
    """From a real topic through the consumer to HTTP."""
    topic = make_topic(embedded_servers)
    forget_reader()
    read_from(settings, embedded_servers.redis_url, topic)
    pipeline = Pipeline(embedded_servers, topic, counted.client)
    pipeline.send(page_view(f"/{n % 3}", f"v{n % 7}") for n in range(30))
    pipeline.send([page_view("/0", "v0", id="again", retryable=True)] * 2)
    pipeline.send([b"no page view"], partition=0)
    pipeline.count_all(33)
    assert counts(reader, site) == (31, 7)
    assert [page["pageviews"] for page in body(reader, PAGES)["results"]] == [11, 10, 10]
    assert body(reader, NOW)["visitors"] == 7
    ledger = body(reader, "ledger")
    assert ledger["topic"] == topic
    expected = {"read": 33, "counted": 31, "duplicate": 1, "bot": 0, "late": 0, "invalid": 1}
    assert expected.items() <= ledger["totals"].items()
    assert sum(row["read"] for row in ledger["partitions"]) == 33
    assert [row["lag"] for row in ledger["partitions"]] == [0, 0]
    assert ledger["as_of"]["state"] == "live" and ledger["as_of"]["lag"] == 0


@pytest.mark.parametrize("time_zone", ["Pacific/Auckland", "America/New_York", "Asia/Kathmandu"])
def test_it_cuts_days_at_the_sites_own_midnight(
    counted: CountedStore, reader: Client, time_zone: str
) -> None:
    site = Site.objects.create(public_id="far.example", time_zone=time_zone)
    moments = {"before": -1, "first": 0, "last": 86_399_999, "after": 86_400_000}
    midnight = local(DAY, "00:00", time_zone)
    counted.count(
        *(counted.view(site, f"/{name}", name, ts=midnight + ms) for name, ms in moments.items())
    )
    assert counts(reader, site, **{"from": DAY, "to": DAY}) == (2, 2)
    pages = body(reader, "stats/far.example/pages", **{"from": DAY, "to": DAY})["results"]
    assert [page["path"] for page in pages] == ["/first", "/last"]
    days = {"from": DAY - timedelta(days=1), "to": DAY + timedelta(days=1)}
    assert counts(reader, site, **days) == (4, 4)


@pytest.mark.parametrize(
    ("time_zone", "today"), [("Pacific/Auckland", "2026-03-15"), ("America/New_York", "2026-03-14")]
)
def test_it_means_the_sites_own_today_where_no_day_is_asked_for(
    counted: CountedStore,
    reader: Client,
    monkeypatch: pytest.MonkeyPatch,
    time_zone: str,
    today: str,
) -> None:
    site = Site.objects.create(public_id="far.example", time_zone=time_zone)
    noon = local(DAY, "12:00", "UTC")
    monkeypatch.setattr("dashboard.api.now_ms", lambda: noon)
    start = local(date.fromisoformat(today), "00:00", time_zone)
    counted.count(counted.view(site, ts=start - 1), counted.view(site, ts=start, visitor="v2"))
    assert counts(reader, site) == (1, 1)
    assert counts(reader, site, **{"from": "2026-03-01"}) == (2, 2)
    before = date.fromisoformat(today) - timedelta(days=1)
    assert counts(reader, site, to=before) == (1, 1)


def test_it_counts_a_visitor_of_several_days_once(
    counted: CountedStore, site: Site, reader: Client
) -> None:
    days = [local(DAY + timedelta(days=n), "10:00", "UTC") for n in range(3)]
    counted.count(*(counted.view(site, "/a", "same", ts=ts) for ts in days))
    query = {"from": DAY, "to": DAY + timedelta(days=2)}
    assert counts(reader, site, **query) == (3, 1)
    (page,) = body(reader, PAGES, **query)["results"]
    assert page == {"path": "/a", "pageviews": 3, "visitors": 1, "bots": 0}


def test_it_lists_the_most_viewed_first_and_ties_by_path(
    counted: CountedStore, site: Site, reader: Client
) -> None:
    counted.count(*(counted.view(site, path) for path in ["/b", "/é", "/c", "/a", "/c"]))
    results = body(reader, PAGES)["results"]
    assert [page["path"] for page in results] == ["/c", "/a", "/b", "/é"]
    assert [page["pageviews"] for page in results] == [2, 1, 1, 1]
    assert body(reader, PAGES, limit=2)["results"] == results[:2]


def test_it_tells_who_is_here_and_on_which_page(
    counted: CountedStore, site: Site, reader: Client
) -> None:
    now = now_ms()
    counted.count(
        counted.view(site, "/a", "v1", received=now - 20_000),
        counted.view(site, "/b", "v1", received=now - 10_000),
        counted.view(site, "/b", "v2", received=now),
        counted.view(site, "/a", "gone", received=now - 301_000),
        counted.view(site, "/old", "v3", ts=now - 86_400_000, received=now),
    )
    found = body(reader, NOW)
    assert found["visitors"] == 3
    assert found["pages"] == [{"path": "/b", "visitors": 2}, {"path": "/old", "visitors": 1}]


def test_it_answers_zeros_where_nothing_was_counted(
    counted: CountedStore, site: Site, reader: Client
) -> None:
    assert counts(reader, site) == (0, 0)
    assert body(reader, TOTALS)["bots"] == 0
    assert body(reader, PAGES)["results"] == []
    lists = ("pages", "sources", "referrers", "countries", "feed")
    nothing: dict[str, list[Any]] = {name: [] for name in lists}
    assert body(reader, NOW) | {"as_of": None} == {"visitors": 0, **nothing, "as_of": None}
    ledger = body(reader, "ledger")
    assert ledger["partitions"] == [] and ledger["topic_id"] is None
    assert set(ledger["totals"].values()) == {0}


def test_it_keeps_sites_apart(counted: CountedStore, site: Site, reader: Client) -> None:
    other = Site.objects.create(public_id="other.example")
    counted.count(counted.view(site), counted.view(other), counted.view(other, "/x", "v2"))
    assert counts(reader, site) == (1, 1)
    assert counts(reader, other) == (2, 2)


# --- How old the numbers are -----------------------------------------------------------


@pytest.mark.parametrize(
    ("through", "reported", "state", "lag"),
    [(100, 100, "live", 3), (60_000, 100, "behind", 3), (60_000, 60_000, "behind", None)],
)
@pytest.mark.parametrize("path", ENDPOINTS)
def test_it_says_how_old_the_numbers_are(
    counted: CountedStore,
    site: Site,
    reader: Client,
    path: str,
    through: int,
    reported: int,
    state: str,
    lag: int | None,
) -> None:
    now = now_ms()
    counted.count(counted.view(site))
    counted.report(now - through, at=now - reported, log_end=counted.offset + 3)
    as_of = body(reader, path)["as_of"]
    assert (as_of["state"], as_of["lag"]) == (state, lag)
    assert through / 1000 <= as_of["age_seconds"] + 0.1 < through / 1000 + 3
    assert datetime.fromisoformat(as_of["through"]).timestamp() * 1000 == now - through
    age = datetime.fromisoformat(as_of["at"]) - datetime.fromisoformat(as_of["through"])
    assert round(age.total_seconds(), 1) == as_of["age_seconds"]


def test_it_says_that_nothing_ever_counted(
    counted: CountedStore, site: Site, reader: Client
) -> None:
    for path in ENDPOINTS:
        as_of = body(reader, path)["as_of"]
        assert datetime.fromisoformat(as_of.pop("at"))
        assert as_of == {"through": None, "age_seconds": None, "lag": None, "state": "unknown"}


# --- Refusals --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "field", "reason"),
    [
        ({"from": "yesterday"}, "from", "write YYYY-MM-DD"),
        ({"to": "2026-02-30"}, "to", "write YYYY-MM-DD"),
        ({"to": "20260228"}, "to", "write YYYY-MM-DD"),
        ({"to": "2026-W09-1"}, "to", "write YYYY-MM-DD"),
        ({"from": "2026-03-02", "to": "2026-03-01"}, "from", "lies after"),
        ({"from": "2010-01-01", "to": "2026-03-01"}, "from", "3660 days"),
        ({"limit": "0"}, "limit", "from 1 to 1000"),
        ({"limit": "1001"}, "limit", "from 1 to 1000"),
        ({"limit": "abc"}, "limit", "from 1 to 1000"),
        ({"limit": "-1"}, "limit", "from 1 to 1000"),
        ({"limit": "9" * 5_000}, "limit", "from 1 to 1000"),
    ],
)
def test_it_refuses_naming_field_value_and_reason(
    counted: CountedStore,
    site: Site,
    reader: Client,
    query: dict[str, str],
    field: str,
    reason: str,
) -> None:
    response = get(reader, PAGES, **query)
    assert response.status_code == 400
    error = response.json()["error"]
    assert (error["field"], error["value"][:100]) == (field, query[field][:100])
    assert reason in error["reason"]


def test_it_answers_the_longest_span(counted: CountedStore, site: Site, reader: Client) -> None:
    first = DAY - timedelta(days=3_659)
    assert counts(reader, site, **{"from": first, "to": DAY}) == (0, 0)
    too_long = first - timedelta(days=1)
    assert get(reader, TOTALS, **{"from": too_long, "to": DAY}).status_code == 400


@pytest.mark.parametrize("name", ["nowhere.example", "a%00b", "%FF", "*"])
def test_it_does_not_know_other_sites(counted: CountedStore, reader: Client, name: str) -> None:
    for endpoint in ("totals", "pages", "now", "timeseries", "top?dimension=page"):
        response = reader.get(f"/api/v1/stats/{name}/{endpoint}")
        assert response.status_code == 404
        assert "No site" in response.json()["error"]["reason"]


# --- Who may read ----------------------------------------------------------------------


@pytest.mark.parametrize("path", ENDPOINTS)
@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: "",
        lambda text: "nonsense",
        lambda text: "pvt_",
        lambda text: text[:-1],
        lambda text: text + "x",
        lambda text: text.replace("pvt_", "pvt_0"),
        lambda text: "pvt_a\0b_c",
    ],
)
def test_it_wants_a_key(
    counted: CountedStore, site: Site, path: str, spoil: Callable[[str], str]
) -> None:
    _, text = ApiKey.issue("k", all_sites=True)
    response = get(bearer(spoil(text)), path)
    assert response.status_code == 401
    assert response["WWW-Authenticate"] == "Bearer"
    assert "API key" in response.json()["error"]["reason"]
    assert get(bearer(text), path).status_code == 200
    assert get(Client(), path).status_code == 401


def test_it_refuses_a_revoked_key_at_once(counted: CountedStore, site: Site) -> None:
    key, text = ApiKey.issue("k", all_sites=True)
    assert get(bearer(text), TOTALS).status_code == 200
    ApiKey.objects.filter(pk=key.pk).update(revoked_at=timezone.now())
    assert get(bearer(text), TOTALS).status_code == 401


def test_it_lets_a_limited_key_read_its_sites_only(counted: CountedStore, site: Site) -> None:
    Site.objects.create(public_id="other.example")
    client = bearer(ApiKey.issue("k", sites=[site])[1])
    for endpoint in ("totals", "pages", "now", "timeseries", "top?dimension=page"):
        assert get(client, f"stats/example.com/{endpoint}").status_code == 200
        assert get(client, f"stats/other.example/{endpoint}").status_code == 403
        # It does not even learn which sites there are.
        assert get(client, f"stats/nowhere.example/{endpoint}").status_code == 403
    refused = get(client, "ledger")
    assert refused.status_code == 403
    assert "may not read" in refused.json()["error"]["reason"]


def test_it_notes_when_a_key_was_used(counted: CountedStore, site: Site) -> None:
    key, text = ApiKey.issue("k", all_sites=True)
    get(bearer(text), TOTALS)
    key.refresh_from_db()
    first = key.last_used_at
    assert first is not None and timezone.now() - first < timedelta(minutes=1)
    get(bearer(text), TOTALS)
    key.refresh_from_db()
    assert key.last_used_at == first, "written at most once a minute"


@pytest.mark.parametrize("path", ENDPOINTS)
def test_it_lets_people_with_the_permission_read(
    counted: CountedStore, site: Site, path: str
) -> None:
    user = User.objects.create_user("ann")
    client = Client()
    client.force_login(user)
    assert get(client, path).status_code == 403
    user.user_permissions.add(Permission.objects.get(codename="view_site"))
    assert get(client, path).status_code == 200
    User.objects.update(is_active=False)
    assert get(client, path).status_code == 401


# --- While the live store is away ------------------------------------------------------


def test_it_answers_503_while_the_store_is_away_and_recovers(
    mortal_store: Valkey, site: Site, reader: Client
) -> None:
    assert counts(reader, site) == (0, 0)
    mortal_store.stop()
    for path in ENDPOINTS:
        response = get(reader, path)
        assert response.status_code == 503
        assert int(response["Retry-After"]) > 0
        assert "store" in response.json()["error"]["reason"]
    mortal_store.start()
    assert counts(reader, site) == (0, 0)
