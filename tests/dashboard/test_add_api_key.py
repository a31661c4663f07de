from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from dashboard.models import ApiKey, hashed
from ingest.models import Site

pytestmark = pytest.mark.django_db


def run(*arguments: str) -> str:
    out = StringIO()
    call_command("add_api_key", *arguments, stdout=out)
    return out.getvalue()


def test_it_shows_the_key_once() -> None:
    said = run("reports")
    key = ApiKey.objects.get(name="reports")
    assert said.startswith("Added API key reports: pvt_")
    assert hashed(said.rstrip().split("_", 2)[2]) == key.hash
    assert key.all_sites
    assert run("reports") == "API key reports exists; its text was shown when it was made.\n"
    assert ApiKey.objects.count() == 1


def test_it_makes_a_new_key_after_the_old_one_was_revoked() -> None:
    run("reports")
    ApiKey.objects.update(revoked_at=timezone.now())
    assert run("reports").startswith("Added API key")


def test_it_limits_the_key_to_the_sites_that_are_named() -> None:
    site, other = (Site.objects.create(public_id=name) for name in ("a.example", "b.example"))
    run("reports", "--site", "a.example")
    key = ApiKey.objects.get()
    assert key.may_read(site) and not key.may_read(other)


def test_it_makes_no_key_for_a_site_that_there_is_not() -> None:
    with pytest.raises(CommandError, match=r"no site 'a\.example'.*add_site a\.example"):
        run("reports", "--site", "a.example")
    assert not ApiKey.objects.exists()
