"""Outgoing requests never reach inside."""

from ipaddress import ip_address

import pytest

from dcmon import outbound
from dcmon.errors import InvalidInput

INSIDE = [
    *("127.0.0.1", "127.1.2.3", "0.0.0.0", "0.1.2.3", "10.0.0.1", "10.255.255.255", "172.16.0.1", "172.31.255.255"),
    *("192.168.0.1", "192.168.255.254", "169.254.169.254", "169.254.0.1", "100.64.0.1", "100.127.255.255"),
    *("192.0.0.1", "192.0.2.1", "198.18.0.1", "198.19.255.255", "198.51.100.7", "203.0.113.9", "224.0.0.1"),
    *("239.255.255.250", "240.0.0.1", "255.255.255.255", "192.88.99.1", "::", "::1", "fe80::1", "febf::1", "fc00::1"),
    *("fd00:ec2::254", "fdff::1", "ff02::1", "ff0e::1", "2001:db8::1", "100::1", "fec0::1", "::127.0.0.1"),
    *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::ffff:8.8.8.8", "2002:7f00:1::"),
    *("2002:a00:1::", "2002:a9fe:a9fe::", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1"),
    *("2001:0:7f00:1::", "2001::1"),
]
OUTSIDE = [
    *("8.8.8.8", "1.1.1.1", "93.184.216.34", "100.63.255.255", "100.128.0.1", "172.15.0.1", "172.32.0.1"),
    "2606:4700::1111",
]


@pytest.mark.parametrize("address", INSIDE)
def test_an_address_inside_is_known_in_every_disguise(address: str) -> None:
    assert outbound.is_inside(ip_address(address))


@pytest.mark.parametrize("address", OUTSIDE)
def test_a_public_address_is_let_through(address: str) -> None:
    assert not outbound.is_inside(ip_address(address))


@pytest.mark.parametrize("host", ["127.0.0.1", "2130706433", "0x7f000001", "0177.0.0.1", "127.1", "[::1]", "localhost"])
def test_a_host_that_means_loopback_is_refused_however_it_is_written(host: str) -> None:
    with pytest.raises(outbound.Refused, match=r"not public|can't be resolved"):
        outbound.resolve(f"https://{host}/x", [])


def test_a_host_on_the_allow_list_is_reached_by_its_network_or_name() -> None:
    assert outbound.resolve("http://127.0.0.1:81/a?b=c", ["127.0.0.0/8"]) == outbound.Destination(
        "http", "127.0.0.1", ("127.0.0.1",), 81, "/a?b=c"
    )
    assert outbound.resolve("https://localhost/", ["LOCALHOST"]).port == 443
    with pytest.raises(outbound.Refused):
        outbound.resolve("http://127.0.0.1/", ["10.0.0.0/8", "other.example"])


@pytest.mark.parametrize(
    "url", ["ftp://a.example/", "https://", "nonsense", "https://u:p@a.example/", "https://a.example:99999/", "http://a.example/"]
)  # fmt: skip
def test_a_url_that_is_no_receiver_is_refused(url: str) -> None:
    with pytest.raises(InvalidInput):
        outbound.require_url(url, [])


def test_plain_http_is_for_receivers_of_ones_own() -> None:
    outbound.require_url("http://hooks.internal/x", ["hooks.internal"])
    outbound.require_url("http://10.1.2.3/x", ["10.1.0.0/16"])
    outbound.require_url("https://hooks.example.org/x", [])
