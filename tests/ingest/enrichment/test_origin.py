import pytest

from ingest.enrichment.origin import Origin, find_origin


@pytest.mark.parametrize(
    ("address", "origin"),
    [
        ("52.95.110.1", Origin.DATACENTER),  # Amazon AWS
        ("2a01:4f8::1", Origin.DATACENTER),  # Hetzner
        ("66.249.66.1", Origin.CRAWLER),  # Googlebot
        ("172.225.10.1", None),  # Apple Private Relay: people
        ("91.66.1.1", None),
        ("127.0.0.1", None),
        ("10.1.2.3", None),
        ("", None),
        ("unix:", None),
        ("fe80::1%eth0", None),
    ],
)
def test_it_knows_servers_addresses(address: str, origin: Origin | None) -> None:
    assert find_origin(address) is origin
