"""What `make up` writes down for a person to begin with."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth import authenticate
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from dashboard.models import ApiKey
from ingest.models import Site
from tracker_site.embedded.credentials import Credentials, ensure_credentials

URL = "http://localhost:8080"


@pytest.fixture
def path(db: None, tmp_path: Path, settings: Any) -> Path:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # quick
    return tmp_path / "credentials.json"


def ensure(path: Path, url: str = URL) -> Credentials:
    return ensure_credentials(path, url, "localhost")


def lets_in(credentials: Credentials) -> bool:
    user = authenticate(username=credentials["admin_user"], password=credentials["admin_password"])
    return isinstance(user, User) and user.is_superuser and user.is_staff


def key_works(credentials: Credentials) -> bool:
    """Whether the key is let in: a site that does not exist is 404, not 401."""
    client = Client(headers={"Authorization": f"Bearer {credentials['api_key']}"})
    return client.get("/api/v1/stats/nowhere.example/totals").status_code == 404


def test_it_makes_a_site_an_admin_and_a_key(path: Path) -> None:
    credentials = ensure(path)
    assert lets_in(credentials) and key_works(credentials)
    assert (credentials["url"], credentials["site"]) == (URL, "localhost")
    assert Site.objects.filter(public_id="localhost", active=True).exists()
    assert json.loads(path.read_text()) == credentials


def test_it_is_readable_by_its_owner_only(path: Path) -> None:
    before = os.umask(0)
    try:
        ensure(path)
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o644)
    ensure(path)
    assert path.stat().st_mode & 0o777 == 0o600


def test_it_stays_the_same_over_restarts(path: Path) -> None:
    first = ensure(path)
    second = ensure(path, "http://localhost:9999")
    assert second == first | {"url": "http://localhost:9999"}
    assert json.loads(path.read_text()) == second
    assert lets_in(second) and key_works(second)
    assert ApiKey.objects.count() == User.objects.count() == Site.objects.count() == 1


def test_it_keeps_what_the_admin_changed(path: Path) -> None:
    ensure(path)
    Site.objects.update(name="Mine", active=False)
    ApiKey.objects.update(revoked_at=timezone.now())
    credentials = ensure(path)
    site = Site.objects.get()
    assert (site.name, site.active) == ("Mine", False)
    assert not key_works(credentials)


@pytest.mark.parametrize("damage", ["unlink", "", "{", "[]", "5", '{"url": "x"}'])
def test_it_makes_new_ones_where_the_file_is_gone_or_damaged(path: Path, damage: str) -> None:
    first = ensure(path)
    path.unlink() if damage == "unlink" else path.write_text(damage)
    second = ensure(path)
    assert second["admin_password"] != first["admin_password"]
    assert second["api_key"] != first["api_key"]
    assert lets_in(second) and key_works(second)
    assert not lets_in(first)


def test_it_makes_new_ones_for_a_new_database(path: Path) -> None:
    first = ensure(path)
    User.objects.all().delete()
    ApiKey.objects.all().delete()
    second = ensure(path)
    assert second["admin_password"] != first["admin_password"]
    assert lets_in(second) and key_works(second)


def test_it_gives_the_admin_back_what_was_taken(path: Path) -> None:
    """Whoever deletes the file wants to get in again."""
    ensure(path)
    path.unlink()
    User.objects.update(is_active=False, is_staff=False, is_superuser=False)
    assert lets_in(ensure(path))
