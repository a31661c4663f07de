from io import StringIO

import pytest
from django.contrib.auth import authenticate
from django.core.management import CommandError, call_command

pytestmark = pytest.mark.django_db


def run() -> str:
    out = StringIO()
    call_command("add_admin", stdout=out)
    return out.getvalue()


def test_it_adds_an_admin_who_can_log_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DJANGO_SUPERUSER_USERNAME", "ada")
    monkeypatch.setenv("DJANGO_SUPERUSER_PASSWORD", "first")
    assert run() == "Added admin ada.\n"
    user = authenticate(username="ada", password="first")
    assert user is not None and user.is_superuser and user.is_staff


def test_it_does_not_change_the_password_of_an_admin_who_exists(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DJANGO_SUPERUSER_PASSWORD", "first")
    run()
    monkeypatch.setenv("DJANGO_SUPERUSER_PASSWORD", "second")
    assert run() == "Admin admin exists.\n"
    assert authenticate(username="admin", password="first") is not None


def test_it_makes_no_admin_without_a_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DJANGO_SUPERUSER_PASSWORD", raising=False)
    with pytest.raises(CommandError, match="DJANGO_SUPERUSER_PASSWORD is not set"):
        run()
