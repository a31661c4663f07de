import pytest

from ingest.enrichment.internal import is_internal, read_internal


@pytest.mark.parametrize(
    ("address", "networks", "header", "internal"),
    [
        ("203.0.113.9", "203.0.113.0/24", "", True),
        ("203.0.113.9", "198.51.100.1\n203.0.113.9", "", True),
        ("203.0.114.9", "203.0.113.0/24", "", False),
        ("2001:db8::5", "203.0.113.0/24 2001:db8::/32", "", True),
        ("", "203.0.113.0/24", "", False),
        ("no address", "203.0.113.0/24", "", False),
        ("203.0.113.9", "", "", False),
        ("203.0.113.9", "", "1", True),
    ],
)
def test_it_knows_a_sites_own_people(
    address: str, networks: str, header: str, internal: bool
) -> None:
    assert is_internal(address, networks, header) is internal


@pytest.mark.parametrize("networks", ["example.com", "203.0.113.0/33", "10.0.0.1\n" * 1_001])
def test_it_names_what_is_no_network(networks: str) -> None:
    with pytest.raises(ValueError, match=r"example\.com|/33|too many"):
        read_internal(networks)
