"""A bare uvicorn server that answers each request with the same bytes, to measure what dcmon adds to it.

python -m benchmarks.bare_endpoint PORT
"""

import socket
import sys

import uvicorn
from starlette.types import Receive, Scope, Send

BODY = b'"Hello world"'
HEADERS = [  # those of dcmon's answer, of the same length
    (b"content-length", b"13"),
    (b"content-type", b"application/json"),
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-cache"),
    (b"x-request-id", b"eb40024443d01c51a852e0d9296d042d"),
]


async def answer(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer at once."""
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    await send({"type": "http.response.body", "body": BODY})


def main(port: int) -> None:
    """Serve with dcmon's settings of uvicorn: the same loop and parser, and no log of its own."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    config = uvicorn.Config(
        answer, log_config=None, access_log=False, ws="none", server_header=False, timeout_keep_alive=75, lifespan="off"
    )
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main(int(sys.argv[1]))
