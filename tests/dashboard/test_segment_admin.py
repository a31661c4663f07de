"""The segments in the admin, as an operator uses them."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from celery import current_app
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.utils import timezone

from processing.models import Segment
from processing.tasks import write_segment
from tests.conftest import Servers

pytestmark = pytest.mark.django_db
URL = "/admin/processing/segment/"


def segment(start: int, state: str, **fields: Any) -> Segment:
    values: dict[str, Any] = {"topic": "pageviews", "topic_id": "L", "partition": 3}
    return Segment.objects.create(
        **(values | {"start": start, "end": start + 1_500, "state": state} | fields),
        planned_at=datetime(2026, 11, 22, tzinfo=UTC),
    )


@pytest.fixture
def failed() -> Segment:
    far = timezone.now() + timedelta(hours=1)
    return segment(0, "failed", error="The bucket is gone.", attempts=4, due_at=far)


@pytest.fixture
def broker(embedded_servers: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    """Celery at the tests' store; nobody works there."""
    use_broker(monkeypatch, embedded_servers.redis_url)


def use_broker(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setattr(current_app.conf, "broker_write_url", url)
    # Or it goes on with the connections it has.
    monkeypatch.setattr(current_app.amqp, "_producer_pool", None)


def retry(client: Client, *segments: Segment) -> str:
    data = {"action": "retry", "_selected_action": [segment.pk for segment in segments]}
    return client.post(URL, data, follow=True).content.decode()


def test_it_lists_what_is_archived_and_what_is_not(admin_client: Client, failed: Segment) -> None:
    segment(1_500, "written", rows=1_500, bytes=30_720, key="pageviews/x.parquet")
    page = admin_client.get(URL).content.decode()
    for text in ("0 to 1,499", "1,500 to 2,999", "30.0\xa0KB", "The bucket is gone."):
        assert text in page
    assert "1,500 to 2,999" not in admin_client.get(URL, {"state": "failed"}).content.decode()
    assert "1,500 to 2,999" in admin_client.get(URL, {"q": "x.parquet"}).content.decode()


def test_it_changes_nothing(admin_client: Client, failed: Segment) -> None:
    page = admin_client.get(f"{URL}{failed.pk}/change/").content.decode()
    assert "The bucket is gone." in page
    assert 'name="_save"' not in page
    assert admin_client.get(f"{URL}add/").status_code == 403
    assert admin_client.post(f"{URL}{failed.pk}/delete/", {"post": "yes"}).status_code == 403


@pytest.mark.usefixtures("broker")
def test_retry_hands_failed_and_lost_segments_to_the_workers(
    admin_client: Client, failed: Segment
) -> None:
    lost, written = segment(1_500, "lost", error="Gone."), segment(3_000, "written", key="x")
    page = retry(admin_client, failed, lost, written)
    assert "2 segments were handed to the workers." in page
    assert "1 segments are neither failed nor lost and stay as they are" in page
    for one in (lost, written):
        one.refresh_from_db()
    assert (lost.state, lost.error) == ("failed", "Gone.")
    assert lost.key == (
        "pageviews/date=2026-11-22/log=L/p=03/00000000000000001500-00000000000000003000.parquet"
    )
    assert lost.due_at is not None and lost.due_at > timezone.now()
    assert (written.state, written.key, written.due_at) == ("written", "x", None)
    with current_app.connection_for_write() as connection:
        queue = connection.SimpleQueue("celery")
        messages = [queue.get(timeout=5) for _ in range(2)]
        for message in messages:
            message.ack()
    assert {message.headers["task"] for message in messages} == {write_segment.name}
    assert {pk for message in messages for pk in message.payload[0]} == {failed.pk, lost.pk}


def test_retry_says_that_the_broker_is_away(
    admin_client: Client, failed: Segment, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_broker(monkeypatch, "redis://127.0.0.1:9/0")
    page = retry(admin_client, failed)
    assert "broker can&#x27;t be reached" in page
    assert "The 1 segments are due now" in page
    failed.refresh_from_db()
    assert failed.due_at is not None and failed.due_at <= timezone.now()


def test_retry_needs_the_permission_to_change_segments(client: Client, failed: Segment) -> None:
    reader = User.objects.create_user("reader", is_staff=True)
    reader.user_permissions.add(Permission.objects.get(codename="view_segment"))
    client.force_login(reader)
    assert "Retry the selected" not in client.get(URL).content.decode()
    reader.user_permissions.add(Permission.objects.get(codename="change_segment"))
    client.force_login(User.objects.get(pk=reader.pk))
    assert "Retry the selected" in client.get(URL).content.decode()
