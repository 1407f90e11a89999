"""Outgoing requests never reach inside: a host is resolved once, checked, and the checked address is connected to."""

import socket
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from urllib.parse import quote, urlsplit

from dcmon.errors import InvalidInput

Address = IPv4Address | IPv6Address
TARGET = "/?&=%:@!$'()*+,;~[]"  # what stands in a request line as it is; a blank or an umlaut is encoded

# What ipaddress does not count as private, but is not the public internet: carrier-grade NAT and translation prefixes.
INSIDE = [ip_network(each) for each in ("100.64.0.0/10", "192.88.99.0/24", "64:ff9b::/96", "64:ff9b:1::/48")]


@dataclass(frozen=True)
class Destination:
    """A checked address, and the name it stands for."""

    scheme: str
    host: str
    address: str
    port: int
    target: str


class Refused(Exception):
    """A destination that must not be reached, or can't be resolved. The message says why."""


def require_url(url: str, allow: Sequence[str]) -> None:
    """Raises InvalidInput unless the URL is https, or http to a host that is allowed by name or network."""
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError as error:
        raise InvalidInput(f"{url!r} has no usable port.") from error
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise InvalidInput(f"{url!r} is no URL of a receiver. It looks like https://hooks.example.org/alerts")
    if parts.username or parts.password:
        raise InvalidInput("A receiver's URL can't carry a user or password: they would end up in logs.")
    if parts.scheme == "http" and not _is_allowed_name(parts.hostname, allow):
        raise InvalidInput(
            f"Use https, or add {parts.hostname} to DCMON_WEBHOOKS__ALLOW if it is a receiver of your own."
        )


def resolve(url: str, allow: Sequence[str]) -> Destination:
    """Resolve a URL's host, once. Every address it has must be public or allowed. Raises Refused."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise Refused(f"The host {host} can't be resolved: {error}.") from error
    addresses = [str(each[4][0]).split("%")[0] for each in found]
    for address in addresses:
        if is_inside(ip_address(address)) and not is_allowed(host, ip_address(address), allow):
            raise Refused(f"{host} is {address}, which is not public. DCMON_WEBHOOKS__ALLOW can allow it.")
    target = quote((parts.path or "/") + (f"?{parts.query}" if parts.query else ""), safe=TARGET)
    return Destination(parts.scheme, host, addresses[0], port, target)


def is_inside(address: Address) -> bool:
    """Whether an address is anything but a public unicast one, also when it hides in an IPv6 address."""
    if isinstance(address, IPv6Address):
        hidden = address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else None)
        if hidden is not None or address.is_site_local:
            return True
    is_special = not address.is_global or address.is_multicast or address.is_reserved or address.is_unspecified
    return is_special or any(address in network for network in INSIDE if network.version == address.version)


def is_allowed(host: str, address: Address, allow: Sequence[str]) -> bool:
    """Whether a host is on the allow-list: by its name, or by a network its address lies in."""
    return _is_allowed_name(host, allow) or any(_is_in(address, entry) for entry in allow)


def _is_allowed_name(host: str, allow: Sequence[str]) -> bool:
    if host.lower() in {entry.lower() for entry in allow}:
        return True
    try:
        return any(_is_in(ip_address(host), entry) for entry in allow)
    except ValueError:
        return False


def _is_in(address: Address, entry: str) -> bool:
    try:
        network = ip_network(entry, strict=False)
    except ValueError:
        return False
    return network.version == address.version and address in network
