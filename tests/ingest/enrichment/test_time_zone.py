import pytest

from ingest.enrichment.time_zone import read_time_zone


@pytest.mark.parametrize(
    ("name", "zone"),
    [("Europe/Berlin", "Europe/Berlin"), ("UTC", "UTC"), ("Mars/Olympus", None), ("../etc", None)],
)
def test_it_knows_time_zones(name: str, zone: str | None) -> None:
    assert read_time_zone(name) == zone
