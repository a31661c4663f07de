from io import StringIO

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command

from ingest.models import Site

pytestmark = pytest.mark.django_db


def run(*arguments: str) -> str:
    out = StringIO()
    call_command("add_site", *arguments, stdout=out)
    return out.getvalue()


def test_it_adds_a_site() -> None:
    said = run("example.com", "--name", "Example", "--time-zone", "Europe/Berlin")
    assert said == "Added site example.com.\n"
    site = Site.objects.get(public_id="example.com")
    assert (site.name, site.time_zone, site.active) == ("Example", "Europe/Berlin", True)


def test_it_leaves_a_site_that_exists_as_it_is() -> None:
    run("example.com", "--name", "Example")
    assert run("example.com", "--name", "Other") == "Site example.com exists.\n"
    assert Site.objects.get(public_id="example.com").name == "Example"


def test_it_adds_the_default_site_when_none_is_named() -> None:
    run()
    assert Site.objects.get().public_id == settings.DEFAULT_SITE


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["Example.com"], "public_id is 'Example.com': Use lower-case letters"),
        ([""], "public_id is ''"),
        (["a.example", "--time-zone", "Mars"], "time_zone is 'Mars': 'Mars' is not a time zone"),
        (["a.example", "--name", "x" * 201], "at most 200 characters"),
    ],
)
def test_it_says_what_is_wrong(arguments: list[str], said: str) -> None:
    with pytest.raises(CommandError, match=said):
        run(*arguments)
    assert not Site.objects.exists()
