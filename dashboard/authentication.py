"""`Authorization: Bearer <api key>` for programs; a login's session for people."""

import hmac
import re
from datetime import timedelta
from typing import Any

from django.utils import timezone
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed, PermissionDenied
from rest_framework.request import Request

from dashboard.models import ApiKey, hashed
from ingest.models import Site

_USE_NOTED_EVERY = timedelta(minutes=1)
_KEY = re.compile(r"pvt_(?P<prefix>[0-9a-f]{8})_(?P<secret>.+)")


class ApiKeyAuthentication(BaseAuthentication):
    """Gives `request.auth`, the `ApiKey`. Refuses unknown and revoked keys with 401."""

    def authenticate(self, request: Request) -> tuple[None, ApiKey] | None:
        scheme, _, text = get_authorization_header(request).decode("latin-1").partition(" ")
        if scheme.lower() != "bearer":
            return None
        key = _find(text.strip())
        if key is None or key.revoked_at is not None:
            raise AuthenticationFailed(
                "The API key is unknown or revoked. Make a new one in the admin, under API keys."
            )
        _note_use(key)
        return None, key

    def authenticate_header(self, request: Request) -> str:
        return "Bearer"


def _find(text: str) -> ApiKey | None:
    parts = _KEY.fullmatch(text)
    if parts is None:
        return None
    key = ApiKey.objects.filter(prefix=parts["prefix"]).first()
    if key is None or not hmac.compare_digest(key.hash, hashed(parts["secret"])):
        return None
    return key


def _note_use(key: ApiKey) -> None:
    now = timezone.now()
    if key.last_used_at is None or now - key.last_used_at > _USE_NOTED_EVERY:
        ApiKey.objects.filter(pk=key.pk).update(last_used_at=now)


def require_reader(request: Request, site: Site | None) -> None:
    """Raises 403 unless the key, or the logged-in user, may read `site` (None: every site)."""
    if isinstance(request.auth, ApiKey):
        allowed = request.auth.all_sites if site is None else request.auth.may_read(site)
        if not allowed:
            raise PermissionDenied("This API key may not read that; its sites are in the admin.")
    elif not request.user.has_perm("ingest.view_site"):
        raise PermissionDenied("You may not view sites. Ask an admin for the permission.")


def require_any_site(request: Request) -> None:
    """Raises 403 unless there may be a site that the key, or the logged-in user, can read."""
    if not isinstance(request.auth, ApiKey):
        require_reader(request, None)


class ApiKeyScheme(OpenApiAuthenticationExtension):
    target_class = "dashboard.authentication.ApiKeyAuthentication"
    name = "apiKey"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer"}
