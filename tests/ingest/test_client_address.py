import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.client_address import client_address, read_networks

TRUSTED = read_networks(["10.0.0.0/8", "192.0.2.1", "2001:db8::/32"])


@pytest.mark.parametrize(
    ("peer", "forwarded_for", "address"),
    [
        ("203.0.113.5", "", "203.0.113.5"),
        # Who is no proxy of ours may write what it likes.
        ("203.0.113.5", "1.1.1.1", "203.0.113.5"),
        ("203.0.113.5", "10.0.0.1, 10.0.0.2", "203.0.113.5"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "203.0.113.5", "203.0.113.5"),
        ("192.0.2.1", "203.0.113.5", "203.0.113.5"),
        ("192.0.2.2", "203.0.113.5", "192.0.2.2"),
        # What a visitor wrote stands before what our proxies wrote.
        ("10.0.0.1", "1.1.1.1, 203.0.113.5", "203.0.113.5"),
        ("10.0.0.1", "1.1.1.1, 203.0.113.5, 10.0.0.2", "203.0.113.5"),
        ("10.0.0.1", "10.9.9.9, 203.0.113.5", "203.0.113.5"),
        ("10.0.0.1", "10.0.0.3,10.0.0.2", "10.0.0.3"),
        ("2001:db8::1", "2001:db9::7", "2001:db9::7"),
        ("10.0.0.1", " , 203.0.113.5 ,, ", "203.0.113.5"),
        ("10.0.0.1", "nonsense", "nonsense"),
        ("10.0.0.1", "1.1.1.1, nonsense", "nonsense"),
        ("", "203.0.113.5", ""),
    ],
)
def test_it_believes_trusted_proxies_only(peer: str, forwarded_for: str, address: str) -> None:
    assert client_address(peer, forwarded_for, TRUSTED) == address


@given(peer=st.ip_addresses(), header=st.text())
def test_it_ignores_any_header_where_no_proxy_is_trusted(peer: object, header: str) -> None:
    assert client_address(str(peer), header, []) == str(peer)


@given(header=st.text())
def test_it_cannot_be_told_another_address_than_our_proxy_saw(header: str) -> None:
    assert client_address("10.0.0.1", f"{header}, 203.0.113.5", TRUSTED) == "203.0.113.5"


def test_it_says_which_network_is_wrong() -> None:
    with pytest.raises(ValueError, match="not-a-network"):
        read_networks(["10.0.0.0/8", "not-a-network"])
    assert str(read_networks(["10.1.2.3/8"])[0]) == "10.0.0.0/8"
