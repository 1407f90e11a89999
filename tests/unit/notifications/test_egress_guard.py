"""Outgoing requests never reach a private or local address."""

from ipaddress import ip_address, ip_network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dcmon.errors import InvalidInput
from dcmon.notifications import egress_guard

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
def test_non_public_address_is_known_in_every_notation(address: str) -> None:
    assert egress_guard.is_non_public(ip_address(address))


@pytest.mark.parametrize("address", OUTSIDE)
def test_public_address_is_allowed(address: str) -> None:
    assert not egress_guard.is_non_public(ip_address(address))


@pytest.mark.parametrize("host", ["127.0.0.1", "2130706433", "0x7f000001", "0177.0.0.1", "127.1", "[::1]", "localhost"])
def test_loopback_host_is_refused_in_every_notation(host: str) -> None:
    with pytest.raises(egress_guard.DestinationRefused, match=r"not public|can't be resolved"):
        egress_guard.resolve(f"https://{host}/x", [])


@pytest.mark.parametrize("host", ["127.0.0.1", "2130706433", "0x7f.1", "0177.0.0.1", "127.1", "[::1]", "①②⑦.0.0.1"])
def test_url_with_non_public_address_is_refused_when_added(host: str) -> None:
    with pytest.raises(InvalidInput, match="not public"):
        egress_guard.require_url(f"https://{host}/x", ["10.0.0.0/8"])
    egress_guard.require_url(f"https://{host}/x", ["127.0.0.0/8", "::1"])


def test_allow_list_matches_by_network_or_name() -> None:
    assert egress_guard.resolve("http://127.0.0.1:81/a?b=c", ["127.0.0.0/8"]) == egress_guard.Destination(
        "http", "127.0.0.1", ("127.0.0.1",), 81, "/a?b=c"
    )
    assert egress_guard.resolve("https://localhost/", ["LOCALHOST"]).port == 443
    with pytest.raises(egress_guard.DestinationRefused):
        egress_guard.resolve("http://127.0.0.1/", ["10.0.0.0/8", "other.example"])


@pytest.mark.parametrize(
    "url", ["ftp://a.example/", "https://", "nonsense", "https://u:p@a.example/", "https://a.example:99999/", "http://a.example/"]
)  # fmt: skip
def test_url_that_is_invalid_is_refused(url: str) -> None:
    with pytest.raises(InvalidInput):
        egress_guard.require_url(url, [])


def test_plain_http_needs_the_allow_list() -> None:
    egress_guard.require_url("http://hooks.internal/x", ["hooks.internal"])
    egress_guard.require_url("http://10.1.2.3/x", ["10.1.0.0/16"])
    egress_guard.require_url("https://hooks.example.org/x", [])


# Any text is refused, or the connection goes to the address that was checked.


def notations_of(address: int) -> list[str]:
    """Return the notations of an IPv4 address that resolvers accept."""
    octets = [address >> shift & 255 for shift in (24, 16, 8, 0)]
    return [
        str(address),
        hex(address),
        oct(address).replace("0o", "0"),
        ".".join(map(str, octets)),
        ".".join(map(hex, octets)),
        ".".join(f"0{octet:o}" for octet in octets),
        f"{octets[0]}.{address & 0xFFFFFF}",
        f"{octets[0]}.{octets[1]}.{address & 0xFFFF}",
        ".".join(str(octet).translate(FULL_WIDTH) for octet in octets),
        "。".join(map(str, octets)),
    ]


FULL_WIDTH = {ord(digit): chr(ord(digit) + 0xFEE0) for digit in "0123456789"}
LOOPBACK, TEN, METADATA = (ip_network(cidr) for cidr in ("127.0.0.0/8", "10.0.0.0/8", "169.254.0.0/16"))


@given(st.data())
def test_non_public_address_is_refused_in_any_spelling(data: st.DataObject) -> None:
    network = data.draw(st.sampled_from([LOOPBACK, TEN, METADATA]))
    address = int(network.network_address) + data.draw(st.integers(0, network.num_addresses - 1))
    host = data.draw(st.sampled_from(notations_of(address)))
    dot, port = data.draw(st.sampled_from(["", "."])), data.draw(st.sampled_from(["", ":443", ":8443"]))
    with pytest.raises(egress_guard.DestinationRefused, match=r"not public|can't be resolved"):
        egress_guard.resolve(f"https://{host}{dot}{port}/x", [])


@given(st.ip_addresses(v=4), st.sampled_from(["::ffff:{}", "::{}", "64:ff9b::{}", "2002:{hex}::", "2001:0:{hex}::1"]))
def test_ipv4_address_embedded_in_ipv6_is_refused(address: Any, disguise: str) -> None:
    packed = address.packed.hex()
    hidden = disguise.format(address, hex=f"{packed[:4]}:{packed[4:]}")
    assert egress_guard.is_non_public(ip_address(hidden))
    with pytest.raises(egress_guard.DestinationRefused, match="not public"):
        egress_guard.resolve(f"https://[{hidden}]/", [])


@given(st.ip_addresses())
def test_resolved_addresses_are_all_public(address: Any) -> None:
    if not egress_guard.is_non_public(address):
        assert address.is_global
        assert not any((address.is_private, address.is_loopback, address.is_link_local, address.is_multicast))
        host = f"[{address}]" if address.version == 6 else str(address)
        assert egress_guard.resolve(f"https://{host}/", []).addresses == (str(address),)


@given(
    st.text(max_size=60) | st.text("htps:/@[]%.#?\\ 0123456789abcdef\n\t\x00:", max_size=40).map("https://{}".format)
)
def test_refusal_of_any_text_does_not_repeat_it(text: str) -> None:
    """The text may contain a secret."""
    parsed: egress_guard.Url | None = None
    message = "URL"
    try:
        parsed = egress_guard.parse(text)
    except InvalidInput as error:
        message = str(error)
    assert "URL" in message
    assert len(text) < 12 or text not in message
    if parsed is not None:
        assert parsed.host
        assert parsed.host.isascii()
        assert 0 < parsed.port < 65536
        assert not set(parsed.host) & set("@/\\?# \t\r\n")
        assert parsed.target.startswith("/")
        assert parsed.target.isascii()
        assert not set(parsed.target) & set(" \r\n#")


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1@evil.example/", "https://evil.example@127.0.0.1/", "https://@127.0.0.1/", "https://a:b@c.example",
        "https://a.example\\@127.0.0.1/", "https://a.example:80:443/", "https://a.example:+443/", "https://[::1/",
        "https://[v1.x]/", "https://a b.example/", "https://a..example/", "https://a.example/\r\nx: y", "https:///x",
        "https://.../", f"https://{'a' * 64}.example/", "javascript:alert(1)", "file:///etc/passwd", "gopher://a.example",
    ],
)  # fmt: skip
def test_ambiguous_url_is_refused(url: str) -> None:
    """Two parsers could read such a URL in two ways."""
    with pytest.raises((InvalidInput, egress_guard.DestinationRefused)):
        egress_guard.resolve(url, [])


def test_host_is_normalized_like_in_dns() -> None:
    assert egress_guard.parse("https://Bücher.Example./x").host == "xn--bcher-kva.example"
    assert egress_guard.parse("https://HOOKS.example.org").host == "hooks.example.org"
    egress_guard.require_url("http://Hooks.Internal./x", ["hooks.internal"])
