"""What a person needs to use a fresh stack: a site, an admin, an API key, written down once."""

import json
import secrets
from pathlib import Path
from typing import TypedDict

from django.contrib.auth import get_user_model

from dashboard.models import ApiKey
from ingest.models import Site

ADMIN = "admin"


class Credentials(TypedDict):
    url: str
    admin_user: str
    admin_password: str
    api_key: str
    site: str


def ensure_credentials(path: Path, url: str, site: str) -> Credentials:
    """Make what is missing and write it to `path`, readable by its owner only.

    A file that is there stays as it is but for `url`: the password and the key in it are
    not changed, so that they keep working over restarts. Without the file the admin gets a
    new password and every right, and there is a new key.
    """
    Site.objects.get_or_create(public_id=site)
    credentials = _read(path) or _issue(url, site)
    credentials["url"] = url
    _write(path, credentials)
    return credentials


def _read(path: Path) -> Credentials | None:
    try:
        credentials: Credentials = json.loads(path.read_text())
    except (FileNotFoundError, ValueError):
        return None
    whole = isinstance(credentials, dict) and set(credentials) == set(Credentials.__annotations__)
    users = get_user_model().objects
    known = whole and users.filter(username=credentials["admin_user"]).exists()
    return credentials if known else None


def _issue(url: str, site: str) -> Credentials:
    password = secrets.token_urlsafe(12)
    rights = {"is_active": True, "is_staff": True, "is_superuser": True}
    user, _ = get_user_model().objects.update_or_create(username=ADMIN, defaults=rights)
    user.set_password(password)
    user.save()
    _, key = ApiKey.issue("make up", all_sites=True)
    return {
        "url": url,
        "admin_user": ADMIN,
        "admin_password": password,
        "api_key": key,
        "site": site,
    }


def _write(path: Path, credentials: Credentials) -> None:
    temporary = path.with_suffix(".tmp")
    temporary.touch(mode=0o600)
    temporary.chmod(0o600)
    temporary.write_text(json.dumps(credentials, indent=2) + "\n")
    temporary.replace(path)
