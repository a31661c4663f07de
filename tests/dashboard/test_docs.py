"""The OpenAPI document and the page that shows it."""

import re
from typing import Any

import pytest
import yaml
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver
from drf_spectacular.validation import validate_schema

ANYWHERE_ELSE = re.compile(r"""(?:src|href)\s*=\s*["']?(?:https?:)?//""")


def schema() -> dict[str, Any]:
    response = Client().get("/api/schema")
    assert response.status_code == 200
    found: dict[str, Any] = yaml.safe_load(response.content)
    return found


def api_paths(patterns: list[URLPattern | URLResolver], prefix: str = "") -> set[str]:
    """Every route below /api/v1, as OpenAPI writes it."""
    found: set[str] = set()
    for pattern in patterns:
        path = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            found |= api_paths(pattern.url_patterns, path)
        elif path.startswith("api/v1/"):
            found.add("/" + re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", path))
    return found


def test_it_describes_every_endpoint() -> None:
    document = schema()
    validate_schema(document)
    assert document["paths"].keys() == api_paths(get_resolver().url_patterns)
    assert "/api/v1/stats/{site}/totals" in document["paths"]


def test_it_describes_what_is_asked_and_answered() -> None:
    paths = schema()["paths"]
    pages = paths["/api/v1/stats/{site}/pages"]["get"]
    assert {parameter["name"] for parameter in pages["parameters"]} == {
        "site",
        "from",
        "to",
        "limit",
    }
    answer = pages["responses"]["200"]["content"]["application/json"]["schema"]["properties"]
    assert set(answer) == {"results", "as_of"}
    assert {"apiKey": []} in pages["security"]
    top = {p["name"] for p in paths["/api/v1/stats/{site}/top"]["get"]["parameters"]}
    assert top == {"site", "dimension", "from", "to", "limit"}
    series = {p["name"] for p in paths["/api/v1/stats/{site}/timeseries"]["get"]["parameters"]}
    assert series == {"site", "interval", "from", "to", "dimension", "value"}
    ledger = paths["/api/v1/ledger"]["get"]
    assert {parameter["name"] for parameter in ledger["parameters"]} == {"site", "from", "to"}
    of_log, of_site = ledger["responses"]["200"]["content"]["application/json"]["schema"]["oneOf"]
    assert {"archived_to", "archived_rows", "lag"} <= set(
        of_log["properties"]["partitions"]["items"]["properties"]
    )
    assert set(of_site["properties"]) == {"site", "time_zone", "days", "totals", "as_of"}
    assert set(paths["/api/v1/track"]["post"]["responses"]) >= {"202", "400", "403", "503"}


@pytest.mark.parametrize("method", ["post", "put", "patch", "delete", "options", "trace"])
def test_they_are_only_read(method: str) -> None:
    response = getattr(Client(), method)("/api/docs")
    assert response.status_code == 405


def test_it_shows_them_without_the_internet() -> None:
    response = Client().get("/api/docs")
    assert response.status_code == 200
    page = response.content.decode()
    assert not ANYWHERE_ELSE.search(page)
    assets = re.findall(r"""(?:src|href)=["'](/static/[^"']+)["']""", page)
    assert any(asset.endswith("swagger-ui-bundle.js") for asset in assets)
    for asset in assets:
        served = Client().get(asset)
        assert served.status_code == 200, asset
        assert b"".join(served)
