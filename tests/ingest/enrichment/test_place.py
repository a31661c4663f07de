"""With the packaged database, which is unpacked once a machine."""

from pathlib import Path

import maxminddb
import pytest

from ingest.enrichment import place_database
from ingest.enrichment.place import NOWHERE, Place, PlaceFinder
from ingest.enrichment.place_database import OFF, place_file


@pytest.fixture(scope="module")
def finder() -> PlaceFinder:
    return PlaceFinder(place_file(""))


@pytest.mark.parametrize(
    ("address", "place"),
    [
        ("8.8.8.8", Place("US", "California")),
        ("85.214.132.117", Place("DE", "Berlin")),
        ("2001:4860:4860::8888", Place("CA", "Quebec")),
        ("127.0.0.1", NOWHERE),
        ("203.0.113.4", NOWHERE),
        ("", NOWHERE),
        ("no address", NOWHERE),
        ("\0", NOWHERE),
        ("\udc80", NOWHERE),
    ],
)
def test_it_finds_country_and_region(finder: PlaceFinder, address: str, place: Place) -> None:
    assert finder.find(address) == place


def test_it_can_be_switched_off() -> None:
    assert PlaceFinder(place_file(OFF)).find("8.8.8.8") == NOWHERE


def test_another_file_takes_its_place(tmp_path: Path) -> None:
    assert place_file("/srv/GeoLite2-City.mmdb") == "/srv/GeoLite2-City.mmdb"
    broken = tmp_path / "broken.mmdb"
    broken.write_text("x")
    with pytest.raises(maxminddb.InvalidDatabaseError):
        PlaceFinder(str(broken))
    with pytest.raises(FileNotFoundError):
        PlaceFinder(str(tmp_path / "missing.mmdb"))


def test_it_says_so_where_nothing_can_be_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert place_file("") is None
    assert "XDG_CACHE_HOME" in caplog.text


def test_it_leaves_no_half_file_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    def full(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(Path, "replace", full)
    assert place_database.place_file("") is None
    assert list((tmp_path / "page-view-tracker").iterdir()) == []
