"""Receipts over HTTP: who may ask, what is refused, what is answered while a part is away."""

from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client

from dashboard.api import receipts, stats
from dashboard.models import ApiKey
from ingest.models import Site
from processing.models import Segment
from tests.conftest import Servers, make_topic
from tests.processing.pipeline import Pipeline, page_view
from tests.processing.wiring import archive_all, wire


@pytest.fixture
def pipeline(embedded_servers: Servers, settings: Any, tmp_path: Path) -> Any:
    """Four events in partition 0: counted, repeated, of another site, unreadable."""
    topic = make_topic(embedded_servers)
    stats.cache_clear()
    receipts.cache_clear()
    settings.REDIS_URL = embedded_servers.redis_url
    settings.KAFKA_TOPIC = topic
    settings.REDIS_SHARDS = 1
    client = stats().client
    client.flushall()
    pipeline = Pipeline(embedded_servers, topic, client)
    wire(pipeline, settings, tmp_path)
    again = page_view("/a", id="one", retryable=True)
    pipeline.send([again, again, page_view(site="other.example"), b"?"], partition=0)
    pipeline.count_all(4)
    yield pipeline
    client.close()
    receipts().client.close()
    stats.cache_clear()
    receipts.cache_clear()


@pytest.fixture
def other(db: None) -> Site:
    return Site.objects.create(public_id="other.example")


def bearer(**key: Any) -> Client:
    return Client(headers={"Authorization": f"Bearer {ApiKey.issue('k', **key)[1]}"})


def get(client: Client, receipt: str, **query: str) -> Any:
    return client.get(f"/api/v1/receipts/{receipt}", query)


def test_it_answers_what_became_of_an_event(
    pipeline: Pipeline, site: Site, other: Site, reader: Client
) -> None:
    log = pipeline.log.describe().id
    found = get(reader, "0-0").json()
    assert found.pop("as_of")["state"] == "live"
    assert found == {
        "receipt": "0-0",
        "log": log,
        "logged": True,
        "outcome": "counted",
        "reason": "It is in the counts of its site.",
        "site": "example.com",
        "event_id": "one",
        "path": "/a",
        "archived": None,
    }
    outcomes = [get(reader, f"0-{offset}").json()["outcome"] for offset in range(4)]
    assert outcomes == ["counted", "duplicate", "counted", "invalid"]
    archive_all()
    (segment,) = Segment.objects.all()
    archived = get(reader, "0-3", log=log).json()
    assert archived["archived"] == {"object": segment.key, "row": 3}
    assert (archived["outcome"], archived["site"], archived["path"]) == ("invalid", None, None)


@pytest.mark.parametrize(
    "receipt", ["0", "0-", "-1", "a-b", "0-0-0", "0-1.5", "٣-0", "0-" + "9" * 19, "0-0\0"]
)
def test_it_refuses_what_is_no_receipt(reader: Client, receipt: str) -> None:
    response = get(reader, receipt)
    assert response.status_code == 400
    error = response.json()["error"]
    assert (error["field"], error["value"]) == ("receipt", receipt)
    assert "3-0" in error["reason"]


def test_it_refuses_what_is_no_log(reader: Client) -> None:
    response = get(reader, "0-0", log="pageviews")
    assert response.status_code == 400
    error = response.json()["error"]
    assert (error["field"], error["value"]) == ("log", "pageviews")
    assert "22 characters" in error["reason"]


@pytest.mark.parametrize("receipt", ["0-4", "1-0", "2-0", "999999999-999999999999999999"])
def test_it_does_not_know_others(pipeline: Pipeline, reader: Client, receipt: str) -> None:
    response = get(reader, receipt)
    assert response.status_code == 404
    assert f"No event with the receipt {receipt}" in response.json()["error"]["reason"]


def test_a_limited_key_reads_its_own_events_only(
    pipeline: Pipeline, site: Site, other: Site
) -> None:
    own, whole = bearer(sites=[site]), bearer(all_sites=True)
    assert [get(own, f"0-{n}").status_code for n in range(4)] == [200, 200, 403, 403]
    assert [get(whole, f"0-{n}").status_code for n in range(4)] == [200] * 4
    other.delete()
    assert get(whole, "0-2").status_code == 200


def test_people_need_the_permission(pipeline: Pipeline, site: Site) -> None:
    user, client = User.objects.create_user("ann"), Client()
    assert get(client, "0-0").status_code == 401
    client.force_login(user)
    assert get(client, "0-0").status_code == get(client, "0-99").status_code == 403
    user.user_permissions.add(Permission.objects.get(codename="view_site"))
    assert get(client, "0-0").status_code == 200


def test_it_answers_503_while_a_part_is_away(
    pipeline: Pipeline, site: Site, reader: Client, settings: Any
) -> None:
    archive_all()
    log = pipeline.log.describe().id
    settings.KAFKA_BOOTSTRAP_SERVERS = "127.0.0.1:1"
    receipts.cache_clear()
    receipts().archive.log.timeout = 0.5
    assert get(reader, "0-0", log=log).status_code == 200, "the archive has it"
    assert_away(get(reader, "0-0"), "Kafka")
    Segment.objects.update(key="nowhere")
    assert_away(get(reader, "0-0", log=log), "The archive")


def assert_away(response: Any, part: str) -> None:
    assert response.status_code == 503
    assert int(response["Retry-After"]) > 0
    assert response.json()["error"]["reason"].startswith(part)
