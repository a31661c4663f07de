"""Sites and API keys in Django admin."""

import re
from base64 import b64encode
from hashlib import sha384
from html import unescape
from html.parser import HTMLParser
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.contrib.auth.models import User
from django.test import Client

from dashboard.models import ApiKey
from dashboard.snippet import pinned_options, pinned_snippet_of, snippet_of
from ingest.models import Alias, Site
from processing.stats import now_ms
from tests.dashboard.counting import CountedStore
from tracker_site.embedded.servers import Valkey

SITES = "/admin/ingest/site/"
KEYS = "/admin/dashboard/apikey/"
NO_ALIASES = {"aliases-TOTAL_FORMS": "0", "aliases-INITIAL_FORMS": "0"}
NEW_SITE = {
    **NO_ALIASES,
    "public_id": "shop.example",
    "name": "Shop",
    "active": "on",
    "time_zone": "Europe/Berlin",
    "allowed_hostnames": "shop.example\n*.shop.example",
    "retention_days": "",
}


@pytest.fixture
def admin(db: None) -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("root"))
    return client


def page(client: Client, path: str, **query: Any) -> str:
    response = client.get(path, query)
    assert response.status_code == 200
    return response.content.decode()


def cells(html: str, column: str) -> list[str]:
    """A column of a change list, top to bottom, as text."""
    found = re.findall(rf'<t[dh] class="field-{column}[^"]*">(.*?)</t[dh]>', html, re.DOTALL)
    return [unescape(re.sub(r"<[^>]+>", "", cell)) for cell in found]


def elements(html: str) -> list[tuple[str, dict[str, Any]]]:
    """Scripts, links and images with their attributes, as a browser reads them."""
    found: list[tuple[str, dict[str, Any]]] = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            if tag != "noscript":
                found.append((tag, dict(attrs)))

    Reader().feed(html)
    return found


def submit(client: Client, path: str, data: dict[str, Any]) -> str:
    """Send a form; the page that comes in the end."""
    response = client.post(path, data, follow=True)
    assert response.status_code == 200
    return response.content.decode()


def act(client: Client, path: str, action: str, *objects: Any) -> str:
    chosen = [str(found.pk) for found in objects]
    return submit(client, path, {"action": action, "_selected_action": chosen})


# --- Sites -----------------------------------------------------------------------------


def test_it_shows_what_arrives_from_each_site(
    counted: CountedStore, site: Site, admin: Client
) -> None:
    silent = Site.objects.create(public_id="silent.example")
    an_hour_ago = now_ms() - 3_660_000
    counted.count(*(counted.view(site, visitor=f"v{n % 3}") for n in range(1_200)))
    counted.count(counted.view(silent, received=an_hour_ago, ts=an_hour_ago - 86_400_000))
    html = page(admin, SITES)
    assert cells(html, "public_id") == ["example.com", "silent.example"]
    assert cells(html, "views_today") == ["1,200", "0"]
    assert cells(html, "people_now") == ["3", "0"]
    assert [last.replace("\xa0", " ") for last in cells(html, "last_event")] == [
        "just now",
        "1 hour, 1 minute ago",
    ]
    assert 'href="/sites/example.com/"' in html


def test_it_reads_the_counts_of_all_sites_at_once(
    counted: CountedStore, admin: Client, django_assert_max_num_queries: Any
) -> None:
    Site.objects.bulk_create(Site(public_id=f"{n}.example") for n in range(50))
    before = counted.client.info("commandstats").get("cmdstat_zcount", {"calls": 0})["calls"]
    with django_assert_max_num_queries(8):
        assert len(cells(page(admin, SITES), "people_now")) == 50
    after = counted.client.info("commandstats")["cmdstat_zcount"]["calls"]
    assert after - before == 50


def test_it_works_while_the_live_store_is_away(
    mortal_store: Valkey, site: Site, admin: Client
) -> None:
    assert cells(page(admin, SITES), "views_today") == ["0"]
    mortal_store.stop()
    html = page(admin, SITES)
    assert cells(html, "views_today") == cells(html, "people_now") == ["—"]
    assert cells(html, "last_event") == ["—"]
    submit(admin, f"{SITES}{site.pk}/change/", NEW_SITE | {"name": "Renamed"})
    site.refresh_from_db()
    assert site.name == "Renamed"


def test_it_finds_and_filters_sites(counted: CountedStore, site: Site, admin: Client) -> None:
    Site.objects.create(public_id="shop.example", active=False, allowed_hostnames="a.shop.test")
    assert cells(page(admin, SITES, q="shop.test"), "public_id") == ["shop.example"]
    assert cells(page(admin, SITES, q="Example"), "public_id") == ["example.com", "shop.example"]
    assert cells(page(admin, SITES, q="nowhere"), "public_id") == []
    assert cells(page(admin, SITES, active__exact=0), "public_id") == ["shop.example"]
    assert cells(page(admin, SITES, active__exact=1), "public_id") == ["example.com"]


def test_it_activates_and_deactivates_sites(
    counted: CountedStore, site: Site, admin: Client
) -> None:
    other = Site.objects.create(public_id="other.example")
    assert "2 sites refuse new events" in act(admin, SITES, "deactivate", site, other)
    assert not Site.objects.filter(active=True).exists()
    assert "1 sites accept events" in act(admin, SITES, "activate", site)
    assert list(Site.objects.filter(active=True)) == [site]


def test_it_adds_a_site_and_then_shows_its_snippet(
    counted: CountedStore, admin: Client, settings: Any
) -> None:
    settings.PUBLIC_URL = "https://tracker.example"
    assert "</textarea>" not in page(admin, f"{SITES}add/").split('id="id_retention_days"')[1]
    html = submit(admin, f"{SITES}add/", NEW_SITE | {"_continue": ""})
    site = Site.objects.get(public_id="shop.example")
    assert (site.time_zone, site.retention_days) == ("Europe/Berlin", None)
    found = re.findall(r"<textarea readonly[^>]*>(.*?)</textarea>", html, re.DOTALL)
    snippet, curl, pinned, module = map(unescape, found)
    assert snippet == snippet_of(site)
    assert pinned == pinned_snippet_of(site)
    assert module == pinned_options()
    assert "https://tracker.example/api/v1/track" in curl and "shop.example" in curl


def test_its_snippet_names_the_site_and_the_tracker(settings: Any) -> None:
    settings.PUBLIC_URL = "https://tracker.example"
    site = Site(public_id="shop.example")
    (script, image) = elements(snippet_of(site))
    assert script == (
        "script",
        {"async": None, "src": "https://tracker.example/js/t.js", "data-site": "shop.example"},
    )
    assert image[1]["src"] == "https://tracker.example/api/v1/track.gif?site=shop.example"


def test_its_pinned_snippet_holds_the_hash_of_what_is_served(settings: Any) -> None:
    settings.PUBLIC_URL = "https://tracker.example"
    served = {name: Client().get(f"/js/{name}").content for name in ("t.js", "options.js")}
    hashes = {
        name: f"sha384-{b64encode(sha384(content).digest()).decode()}"
        for name, content in served.items()
    }
    ((_, script), _) = elements(pinned_snippet_of(Site(public_id="shop.example")))
    assert script["integrity"] == hashes["t.js"]
    assert script["crossorigin"] == "anonymous"
    path = script["src"].removeprefix("https://tracker.example")
    assert "immutable" in Client().get(path)["Cache-Control"]
    ((_, module),) = elements(pinned_options())
    assert module["integrity"] == hashes["options.js"]
    assert module["href"] == "https://tracker.example/js/options.js"


def test_it_sets_whether_a_site_honours_opt_outs(
    counted: CountedStore, site: Site, admin: Client
) -> None:
    path = f"{SITES}{site.pk}/change/"
    assert "Do Not Track" in page(admin, path)
    for value in (True, False):
        submit(admin, path, NEW_SITE | ({"honour_opt_out": "on"} if value else {}))
        site.refresh_from_db()
        assert site.honour_opt_out is value


def with_aliases(*names: str) -> dict[str, str]:
    forms = {f"aliases-{n}-name": name for n, name in enumerate(names)}
    return NEW_SITE | {"aliases-TOTAL_FORMS": str(len(names))} | forms


def test_it_sets_aliases(counted: CountedStore, admin: Client) -> None:
    submit(admin, f"{SITES}add/", with_aliases("G-ABC123", "94DB1CB1-74F4-4A40-AD6C-962362670409"))
    site = Site.objects.get(public_id="shop.example")
    found = [alias.name for alias in site.aliases.all()]
    assert found == ["94db1cb1-74f4-4a40-ad6c-962362670409", "G-ABC123"]
    assert cells(page(admin, SITES, q="G-ABC"), "public_id") == ["shop.example"]


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("taken", "This alias is a site&#x27;s already."),
        ("example.com", "is the id of a site"),
        ("two words", "without spaces"),
        ("x" * 101, "at most 100 characters"),
    ],
)
def test_it_checks_aliases(
    counted: CountedStore, site: Site, admin: Client, name: str, complaint: str
) -> None:
    Alias.objects.create(name="taken", site=site)
    assert complaint in submit(admin, f"{SITES}add/", with_aliases(name))
    assert not Site.objects.filter(public_id="shop.example").exists()


def test_a_new_site_takes_no_alias_for_its_id(
    counted: CountedStore, site: Site, admin: Client
) -> None:
    Alias.objects.create(name="shop.example", site=site)
    assert "is an alias of a site" in submit(admin, f"{SITES}add/", NEW_SITE)


def test_it_never_changes_a_sites_id(counted: CountedStore, site: Site, admin: Client) -> None:
    path = f"{SITES}{site.pk}/change/"
    assert 'name="public_id"' not in page(admin, path)
    submit(admin, path, NEW_SITE | {"public_id": "other.example", "name": "Shop"})
    site.refresh_from_db()
    assert (site.public_id, site.name) == ("example.com", "Shop")


@pytest.mark.parametrize("name", ['A "quoted" name', "it's </textarea><script>alert(1)</script>"])
def test_it_escapes_names(counted: CountedStore, site: Site, admin: Client, name: str) -> None:
    Site.objects.update(name=name)
    for path in (SITES, f"{SITES}{site.pk}/change/", f"{SITES}{site.pk}/delete/"):
        html = page(admin, path)
        assert "<script>alert" not in html
    assert cells(page(admin, SITES), "name") == [name]


@pytest.mark.parametrize("text", ['"</script><b>', "a\\\"b'c", "\u2028"])
def test_it_escapes_whatever_the_snippet_holds(settings: Any, text: str) -> None:
    """Site ids can't hold this; a wrong PUBLIC_URL can, and a rule may be loosened."""
    settings.PUBLIC_URL = f"https://tracker.example/{text}"
    (script, image) = elements(snippet_of(Site(public_id=text)))
    assert script[1]["data-site"] == text
    assert script[1]["src"] == f"https://tracker.example/{text}/js/t.js"
    assert parse_qs(urlsplit(image[1]["src"]).query) == {"site": [text]}


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"public_id": ""}, "required"),
        ({"public_id": "Shop.example"}, "lower-case letters"),
        ({"public_id": 'a"b'}, "lower-case letters"),
        ({"public_id": "shop.example\n"}, None),
        ({"public_id": "example.com"}, "already exists"),
        ({"time_zone": "Europe/Nowhere"}, "Europe/Nowhere is not one of the available choices"),
        ({"allowed_hostnames": "https://shop.example"}, "without scheme, port or path"),
        ({"allowed_hostnames": "ok.example\nshop.example/path"}, "without scheme"),
        ({"allowed_hostnames": "Shop.example"}, "lower case"),
        ({"allowed_hostnames": "*.*.example"}, "lower case"),
        ({"retention_days": "0"}, "greater than or equal to 1"),
        ({"retention_days": "-1"}, "greater than or equal to"),
    ],
)
def test_it_checks_what_is_written(
    counted: CountedStore,
    site: Site,
    admin: Client,
    change: dict[str, str],
    complaint: str | None,
) -> None:
    html = submit(admin, f"{SITES}add/", NEW_SITE | change)
    if complaint is None:
        assert Site.objects.filter(public_id="shop.example").exists()
        return
    errors = " ".join(re.findall(r'<ul class="errorlist".*?</ul>', html, re.DOTALL))
    assert complaint in errors
    assert not Site.objects.exclude(pk=site.pk).exists()


# --- API keys --------------------------------------------------------------------------


def issue(client: Client, **fields: Any) -> tuple[ApiKey, str]:
    """Make a key in the admin; its text is read off the page that comes then."""
    html = submit(client, f"{KEYS}add/", {"name": "Grafana"} | fields)
    (text,) = re.findall(r"<code>(pvt_[^<]+)</code>", html)
    return ApiKey.objects.get(), text


def read_status(text: str, site: str = "example.com") -> int:
    client = Client(headers={"Authorization": f"Bearer {text}"})
    return client.get(f"/api/v1/stats/{site}/totals").status_code


def test_it_shows_a_keys_text_once_and_stores_its_hash(
    counted: CountedStore, site: Site, admin: Client
) -> None:
    key, text = issue(admin, all_sites="on")
    assert read_status(text) == 200
    secret = text.split("_", 2)[2]
    for path in (KEYS, f"{KEYS}{key.pk}/change/", f"{KEYS}{key.pk}/history/"):
        assert secret not in page(admin, path)
    stored = " ".join(str(value) for value in ApiKey.objects.values_list().get())
    assert secret not in stored
    assert key.prefix in page(admin, KEYS)


def test_it_limits_a_key_to_the_sites_chosen(
    counted: CountedStore, site: Site, admin: Client
) -> None:
    other = Site.objects.create(public_id="other.example")
    key, text = issue(admin, sites=[str(site.pk)])
    assert (key.all_sites, list(key.sites.all())) == (False, [site])
    assert (read_status(text), read_status(text, "other.example")) == (200, 403)
    submit(admin, f"{KEYS}{key.pk}/change/", {"name": "Grafana", "sites": [str(other.pk)]})
    assert (read_status(text), read_status(text, "other.example")) == (403, 200)


def test_it_revokes_keys(counted: CountedStore, site: Site, admin: Client) -> None:
    key, text = issue(admin, all_sites="on")
    assert "1 keys are revoked" in act(admin, KEYS, "revoke", key)
    assert read_status(text) == 401
    key.refresh_from_db()
    first = key.revoked_at
    assert "0 keys are revoked" in act(admin, KEYS, "revoke", key)
    key.refresh_from_db()
    assert key.revoked_at == first


def test_it_never_deletes_keys(counted: CountedStore, site: Site, admin: Client) -> None:
    key, _ = issue(admin, sites=[str(site.pk)])
    assert admin.post(f"{KEYS}{key.pk}/delete/", {"post": "yes"}).status_code == 403
    assert "delete_selected" not in page(admin, KEYS)
    assert ApiKey.objects.filter(pk=key.pk).exists()


@pytest.mark.parametrize("path", [SITES, KEYS, f"{SITES}add/", f"{KEYS}add/"])
def test_it_wants_a_login(db: None, path: str) -> None:
    assert Client().get(path).status_code == 302
    client = Client()
    client.force_login(User.objects.create_user("ann", is_staff=True))
    assert client.get(path).status_code == 403


def test_bots_that_count_as_people_are_named_by_their_reasons(admin: Client) -> None:
    answer = admin.post(f"{SITES}add/", NEW_SITE | {"bots_as_people": "crawler robots"})
    assert "'robots' is not a valid BotReason. Reasons are internal" in unescape(
        answer.content.decode()
    )
    admin.post(f"{SITES}add/", NEW_SITE | {"bots_as_people": "crawler\ndatacenter"})
    assert Site.objects.get().bots_as_people == "crawler\ndatacenter"
