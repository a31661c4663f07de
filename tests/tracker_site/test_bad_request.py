"""What Django refuses itself: the answer says why, the log says nothing."""

import logging
from collections.abc import Iterator

import pytest
from django.test import Client


@pytest.fixture
def logged() -> Iterator[list[logging.LogRecord]]:
    """What the handlers of Django's loggers are given."""
    records: list[logging.LogRecord] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            records.append(record)

    handler, root = Keep(), logging.getLogger()
    root.addHandler(handler)
    yield records
    root.removeHandler(handler)


def test_it_tells_whose_host_name_is_not_answered(logged: list[logging.LogRecord]) -> None:
    response = Client(headers={"Host": "attacker.example"}).get("/login")
    assert response.status_code == 400
    assert response.json()["error"] == {
        "field": "Host",
        "value": "attacker.example",
        "reason": "not answered here; ALLOWED_HOSTS names those that are",
    }
    assert logged == []


def test_a_form_without_its_token_is_no_news(logged: list[logging.LogRecord]) -> None:
    response = Client(enforce_csrf_checks=True).post("/login", {"username": "u"})
    assert response.status_code == 403
    assert logged == []


def test_nor_is_what_the_admin_refuses(
    admin_client: Client, logged: list[logging.LogRecord]
) -> None:
    assert admin_client.get("/admin/autocomplete/").status_code == 403
    assert logged == []
