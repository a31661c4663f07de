from io import StringIO

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command

from ingest.models import Alias, Site

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


def test_it_adds_aliases() -> None:
    said = run("example.com", "--alias", "G-ABC123", "--alias", "1")
    assert said == "Added site example.com.\nAdded alias G-ABC123.\nAdded alias 1.\n"
    assert [alias.name for alias in Alias.objects.filter(site__public_id="example.com")] == [
        "1",
        "G-ABC123",
    ]


def test_it_adds_aliases_to_a_site_that_exists() -> None:
    website = "94db1cb1-74f4-4a40-ad6c-962362670409"
    run("example.com", "--alias", website)
    said = run("example.com", "--alias", website.upper(), "--alias", "2")
    assert said == f"Site example.com exists.\n{website} is an alias of it.\nAdded alias 2.\n"
    assert Alias.objects.count() == 2


@pytest.mark.parametrize(
    ("alias", "said"),
    [
        ("1", "the alias is '1': This alias is a site's already."),
        ("other.example", "'other.example' is the id of a site"),
        ("two words", "without spaces"),
        ("", "the alias is ''"),
        ("x" * 101, "at most 100 characters"),
    ],
)
def test_an_alias_belongs_to_one_site(alias: str, said: str) -> None:
    run("other.example", "--alias", "1")
    with pytest.raises(CommandError, match=said):
        run("example.com", "--alias", "fine", "--alias", alias)
    assert not Site.objects.filter(public_id="example.com").exists(), "all or nothing"
    assert [alias.name for alias in Alias.objects.all()] == ["1"]


def test_an_alias_is_no_id_of_another_site() -> None:
    run("other.example", "--alias", "example.com")
    with pytest.raises(CommandError, match="is an alias of a site"):
        run("example.com")


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
