"""Ports that stay free between the moment they are chosen and the moment a server listens on them."""

import socket
from pathlib import Path
from random import SystemRandom

EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")
FIRST, TRIES = 10_000, 100


def free_port() -> int:
    """Return a free port that the kernel gives to no other socket meanwhile, as it does with those of port 0."""
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
    """The first port that the kernel gives to clients, and to servers that ask for any."""
    return int(EPHEMERAL.read_text().split()[0]) if EPHEMERAL.exists() else 32_768
