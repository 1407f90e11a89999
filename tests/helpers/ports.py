"""Ports that stay free between their choice and the start of a server on them."""

import socket
from pathlib import Path
from random import SystemRandom

EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")
FIRST, TRIES = 10_000, 100


def free_port() -> int:
    """Return a free port outside of the range from which the kernel assigns ports by itself."""
    for _ in range(TRIES):
        port = SystemRandom().randrange(FIRST, max(_first_ephemeral(), FIRST + 1000))
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise OSError("no port is free")


def _first_ephemeral() -> int:
    """Return the first port of the range that the kernel assigns by itself."""
    return int(EPHEMERAL.read_text().split()[0]) if EPHEMERAL.exists() else 32_768
