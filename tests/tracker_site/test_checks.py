from typing import Any

import pytest
from django.core.checks import run_checks


@pytest.mark.parametrize("shared", [True, False])
def test_it_wants_a_secret_key_that_all_machines_share(settings: Any, shared: bool) -> None:
    settings.SECRET_KEY_IS_SHARED = shared
    found = [m for m in run_checks(include_deployment_checks=True) if m.id == "tracker.E001"]
    assert len(found) == (0 if shared else 1)
    assert all("Set SECRET_KEY" in (message.hint or "") for message in found)


def test_it_asks_for_it_only_where_it_is_deployed(settings: Any) -> None:
    settings.SECRET_KEY_IS_SHARED = False
    assert not [message for message in run_checks() if message.id == "tracker.E001"]
