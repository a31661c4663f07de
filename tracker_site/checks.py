"""System checks: rules across settings that only matter in some deployments."""

from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, register


@register(Tags.security, deploy=True)
def check_secret_key_is_shared(
    app_configs: Sequence[AppConfig] | None, **kwargs: Any
) -> list[CheckMessage]:
    if settings.SECRET_KEY_IS_SHARED:
        return []
    return [
        Error(
            "SECRET_KEY is not set, so this machine made one of its own.",
            hint="Set SECRET_KEY to the same long random text for every process: sessions and "
            "visitor hashes depend on it.",
            id="tracker.E001",
        )
    ]
