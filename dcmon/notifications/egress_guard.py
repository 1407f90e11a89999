"""Keep outgoing requests out of the internal network.

A host is resolved once, and dcmon connects only to addresses that were checked. A second look-up at connect time could
give another address than the checked one (DNS rebinding).
"""

import re
import socket
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from queue import Empty, SimpleQueue
from urllib.parse import quote, urlsplit

from dcmon.errors import InvalidInput

Address = IPv4Address | IPv6Address
SAFE_IN_TARGET = "/?&=%:@!$'()*+,;~[]"  # Other characters are percent-encoded in the request line.
NOT_IN_HOST = re.compile(r"[\x00-\x20\x7f\\<>\"^`{|}@]")
ADDRESSES_TRIED = 4
LOCAL_DOMAINS = ("localhost", "local", "internal")

# Not public, although ipaddress counts them as global: carrier-grade NAT and translation prefixes.
NON_PUBLIC_NETWORKS = [
    ip_network(network) for network in ("100.64.0.0/10", "192.88.99.0/24", "64:ff9b::/96", "64:ff9b:1::/48")
]


@dataclass(frozen=True)
class Url:
    """The parts of a receiver's URL.

    `host` is in ASCII, without a dot at its end.
    """

    scheme: str
    host: str
    port: int
    target: str


@dataclass(frozen=True)
class Destination:
    """A host with its checked addresses, in the order to try them."""

    scheme: str
    host: str
    addresses: tuple[str, ...]
    port: int
    target: str


class DestinationRefused(Exception):
    """A destination is not allowed or can't be resolved. The message says why."""


def parse(url: str) -> Url:
    """Split a URL into its parts. Raises InvalidInput.

    The message of the error leaves the URL out, because the URL may hold a secret.
    """
    try:
        parts = urlsplit(url)
        host, port = _ascii(parts.hostname or ""), parts.port
    except ValueError as error:  # includes UnicodeError
        raise InvalidInput(f"That is not a URL of a receiver: {_parse_error(error)}.") from error
    if "@" in parts.netloc:
        raise InvalidInput("A receiver's URL can't have a user or password: they would be written to logs.")
    if parts.scheme not in ("http", "https") or not host or port == 0:
        raise InvalidInput("That is not a URL of a receiver. It looks like https://hooks.example.org/alerts")
    if NOT_IN_HOST.search(parts.netloc) or any(ord(character) < 0x20 or character == "\x7f" for character in url):
        raise InvalidInput(
            "A receiver's URL can't have control characters, nor spaces or special characters in its host."
        )
    target = quote((parts.path or "/") + (f"?{parts.query}" if parts.query else ""), safe=SAFE_IN_TARGET)
    return Url(parts.scheme, host, port or (443 if parts.scheme == "https" else 80), target)


def _parse_error(error: ValueError) -> str:
    """Return the part that urllib refused, without the piece of the URL in urllib's message."""
    return "its port is invalid" if "port" in str(error).lower() else "its host is invalid"


def _ascii(host: str) -> str:
    """Return a host as DNS and certificates write it.

    IDNA maps full-width digits to digits, and umlauts to punycode.
    """
    host = host if host.isascii() else host.encode("idna").decode()
    return host.removesuffix(".").lower()


def require_url(url: str, allow: Sequence[str]) -> Url:
    """Parse a URL, which must be https, or http to a host on the allow-list. Raises InvalidInput."""
    parsed = parse(url)
    address = _literal_address(parsed.host)
    if address is not None and is_non_public(address) and not is_allowed(parsed.host, address, allow):
        raise InvalidInput(_not_public(parsed.host, str(address)))
    if is_local_name(parsed.host) and not is_allowed_name(parsed.host, allow):
        raise InvalidInput(f"{parsed.host} is this machine or network, not public. DCMON_WEBHOOKS__ALLOW can allow it.")
    if parsed.scheme == "http" and not is_allowed_name(parsed.host, allow):
        raise InvalidInput(f"Use https, or add {parsed.host} to DCMON_WEBHOOKS__ALLOW if it is a receiver of your own.")
    return parsed


def _not_public(host: str, address: str) -> str:
    fact = f"{host} is not public" if host == address else f"{host} is {address}, which is not public"
    return f"{fact}. DCMON_WEBHOOKS__ALLOW can allow it."


def _literal_address(host: str) -> Address | None:
    """Return the address that a host is; None for a name.

    Old notations of addresses count too: 0x7f.1 and 2130706433 are 127.0.0.1.
    """
    try:
        return ip_address(host) if ":" in host else IPv4Address(socket.inet_aton(host))
    except (OSError, ValueError):
        return None


def resolve(url: str, allow: Sequence[str], seconds: float = 10) -> Destination:
    """Resolve a URL's host once. Raises DestinationRefused.

    Each address of the host must be public or allowed.
    """
    try:
        parsed = parse(url)
        addresses = _look_up(parsed.host, parsed.port, seconds)
        for address in addresses:
            if is_non_public(ip_address(address)) and not is_allowed(parsed.host, ip_address(address), allow):
                raise DestinationRefused(_not_public(parsed.host, address))
        require_url(url, allow)  # The allow-list may have become shorter since the receiver was added.
    except InvalidInput as error:
        raise DestinationRefused(str(error)) from error
    return Destination(parsed.scheme, parsed.host, tuple(addresses[:ADDRESSES_TRIED]), parsed.port, parsed.target)


def _look_up(host: str, port: int, seconds: float) -> list[str]:
    """Return the addresses of a host. The system's resolver has no timeout, so a separate thread waits for it."""
    results: SimpleQueue[list[str] | Exception] = SimpleQueue()

    def resolve_host() -> None:
        try:
            infos = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            results.put(list(dict.fromkeys(str(info[4][0]).split("%")[0] for info in infos)))
        except (OSError, UnicodeError) as error:
            results.put(error)

    threading.Thread(target=resolve_host, name="resolve", daemon=True).start()
    try:
        result = results.get(timeout=seconds)
    except Empty:
        raise DestinationRefused(f"The host {host} can't be resolved within {seconds:g} s.") from None
    if isinstance(result, Exception) or not result:
        raise DestinationRefused(f"The host {host} can't be resolved: {result or 'it has no address'}.")
    return result


def is_local_name(host: str) -> bool:
    """True if a name is reserved for this machine or network (RFC 6761, RFC 6762, and ICANN's "internal")."""
    return host.rpartition(".")[2] in LOCAL_DOMAINS


def is_non_public(address: Address) -> bool:
    """True unless an address is a public unicast address.

    An IPv6 address that embeds an IPv4 address is never public.
    """
    if isinstance(address, IPv6Address):
        embedded = address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else None)
        if embedded is not None or address.is_site_local:
            return True
    is_special = not address.is_global or address.is_multicast or address.is_reserved or address.is_unspecified
    return is_special or any(
        address in network for network in NON_PUBLIC_NETWORKS if network.version == address.version
    )


def is_allowed(host: str, address: Address, allow: Sequence[str]) -> bool:
    """True if a host's name or address is on the allow-list.

    The allow-list may have names, addresses and networks.
    """
    return is_allowed_name(host, allow) or any(_is_in(address, entry) for entry in allow)


def is_allowed_name(host: str, allow: Sequence[str]) -> bool:
    """True if a host, a name or an address, is on the allow-list."""
    if host in {entry.lower().removesuffix(".") for entry in allow}:
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
