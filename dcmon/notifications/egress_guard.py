"""Outgoing requests never reach inside: a host is resolved once, checked, and a checked address is connected to."""

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
TARGET = "/?&=%:@!$'()*+,;~[]"  # what stands in a request line as it is; a blank or an umlaut is encoded
NOT_IN_HOST = re.compile(r"[\x00-\x20\x7f\\<>\"^`{|}@]")
ADDRESSES_TRIED = 4

# What ipaddress does not count as private, but is not the public internet: carrier-grade NAT and translation prefixes.
NON_PUBLIC_NETWORKS = [
    ip_network(each) for each in ("100.64.0.0/10", "192.88.99.0/24", "64:ff9b::/96", "64:ff9b:1::/48")
]


@dataclass(frozen=True)
class Url:
    """A URL of a receiver, taken apart; the host is in ASCII, without a dot at its end."""

    scheme: str
    host: str
    port: int
    target: str


@dataclass(frozen=True)
class Destination:
    """Checked addresses, in the order to try them, and the name that they stand for."""

    scheme: str
    host: str
    addresses: tuple[str, ...]
    port: int
    target: str


class DestinationRefused(Exception):
    """A destination that must not be reached, or can't be resolved. The message says why."""


def parse(url: str) -> Url:
    """Take a URL apart. Raises InvalidInput, in words that do not repeat the URL, for it may hold a secret."""
    try:
        parts = urlsplit(url)
        host, port = _ascii(parts.hostname or ""), parts.port
    except ValueError as error:  # a UnicodeError too
        raise InvalidInput(f"That is no URL of a receiver: {_reason(error)}.") from error
    if "@" in parts.netloc:
        raise InvalidInput("A receiver's URL can't carry a user or password: they would end up in logs.")
    if parts.scheme not in ("http", "https") or not host or port == 0:
        raise InvalidInput("That is no URL of a receiver. It looks like https://hooks.example.org/alerts")
    if NOT_IN_HOST.search(parts.netloc) or any(ord(each) < 0x20 or each == "\x7f" for each in url):
        raise InvalidInput("A receiver's URL can't have control characters, or blanks and signs in its host.")
    target = quote((parts.path or "/") + (f"?{parts.query}" if parts.query else ""), safe=TARGET)
    return Url(parts.scheme, host, port or (443 if parts.scheme == "https" else 80), target)


def _reason(error: ValueError) -> str:
    """Why urllib refused, without the part of the URL that it repeats."""
    return "its port is none" if "port" in str(error).lower() else "its host can't be read"


def _ascii(host: str) -> str:
    """A host as DNS and certificates know it: digits in disguise become digits, umlauts punycode."""
    host = host if host.isascii() else host.encode("idna").decode()
    return host.removesuffix(".").lower()


def require_url(url: str, allow: Sequence[str]) -> Url:
    """Raises InvalidInput unless the URL is https, or http to a host that is allowed by name or network."""
    found = parse(url)
    address = _literal(found.host)
    if address is not None and is_non_public(address) and not is_allowed(found.host, address, allow):
        raise InvalidInput(_not_public(found.host, str(address)))
    if found.scheme == "http" and not is_allowed_name(found.host, allow):
        raise InvalidInput(f"Use https, or add {found.host} to DCMON_WEBHOOKS__ALLOW if it is a receiver of your own.")
    return found


def _not_public(host: str, address: str) -> str:
    said = f"{host} is not public" if host == address else f"{host} is {address}, which is not public"
    return f"{said}. DCMON_WEBHOOKS__ALLOW can allow it."


def _literal(host: str) -> Address | None:
    """The address that a host is by itself, however it is written: 0x7f.1 and 2130706433 are 127.0.0.1."""
    try:
        return ip_address(host) if ":" in host else IPv4Address(socket.inet_aton(host))
    except (OSError, ValueError):
        return None


def resolve(url: str, allow: Sequence[str], seconds: float = 10) -> Destination:
    """Resolve a URL's host, once. Every address it has must be public or allowed. Raises Refused."""
    try:
        parsed = parse(url)
        addresses = _look_up(parsed.host, parsed.port, seconds)
        for address in addresses:
            if is_non_public(ip_address(address)) and not is_allowed(parsed.host, ip_address(address), allow):
                raise DestinationRefused(_not_public(parsed.host, address))
        require_url(url, allow)  # again: the list may be a shorter one now
    except InvalidInput as error:
        raise DestinationRefused(str(error)) from error
    return Destination(parsed.scheme, parsed.host, tuple(addresses[:ADDRESSES_TRIED]), parsed.port, parsed.target)


def _look_up(host: str, port: int, seconds: float) -> list[str]:
    """The addresses of a host. The system's resolver knows no bound on time, so a thread of its own waits for it."""
    found: SimpleQueue[list[str] | Exception] = SimpleQueue()

    def ask() -> None:
        try:
            answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            found.put(list(dict.fromkeys(str(each[4][0]).split("%")[0] for each in answers)))
        except (OSError, UnicodeError) as error:
            found.put(error)

    threading.Thread(target=ask, name="resolve", daemon=True).start()
    try:
        answer = found.get(timeout=seconds)
    except Empty:
        raise DestinationRefused(f"The host {host} can't be resolved within {seconds:g} s.") from None
    if isinstance(answer, Exception) or not answer:
        raise DestinationRefused(f"The host {host} can't be resolved: {answer or 'it has no address'}.")
    return answer


def is_non_public(address: Address) -> bool:
    """Whether an address is anything but a public unicast one, also when it hides in an IPv6 address."""
    if isinstance(address, IPv6Address):
        hidden = address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else None)
        if hidden is not None or address.is_site_local:
            return True
    is_special = not address.is_global or address.is_multicast or address.is_reserved or address.is_unspecified
    return is_special or any(
        address in network for network in NON_PUBLIC_NETWORKS if network.version == address.version
    )


def is_allowed(host: str, address: Address, allow: Sequence[str]) -> bool:
    """Whether a host is on the allow-list: by its name, or by a network its address lies in."""
    return is_allowed_name(host, allow) or any(_is_in(address, entry) for entry in allow)


def is_allowed_name(host: str, allow: Sequence[str]) -> bool:
    """Whether a host is on the allow-list by its name alone, or is written as an address that is."""
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
