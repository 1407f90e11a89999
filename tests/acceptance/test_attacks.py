"""Somebody without a token, or with one of little worth, tries to stop `dcmon serve`. Others are served meanwhile."""

from collections.abc import Iterator
from itertools import repeat

import pytest

from tests.conftest import TemplateWithAcme, copied_database
from tests.helpers.attacks import BLOCK, at_once, head, open_socket, open_sockets, send_all, watched_memory
from tests.helpers.serve_process import ServeProcess, serving_process

ROWS = "/api/v1/model-versions/1/data"
MB = 1_000_000
HELD = 300 * MB  # DCMON_HTTP__BODIES_BYTES
PROCESS = 350 * MB  # more than the process has without any request


@pytest.fixture(scope="module")
def server(
    server_url: str, template_with_acme: TemplateWithAcme, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServeProcess]:
    """Run one endpoint for all attacks: it must stay what it was after each of them."""
    template, token = template_with_acme.name, template_with_acme.acme.token
    with (
        copied_database(server_url, template) as url,
        serving_process(url, tmp_path_factory.mktemp("served"), token) as process,
    ):
        yield process


@pytest.fixture
def served(server: ServeProcess) -> Iterator[ServeProcess]:
    yield server
    assert server.answers("/api/v1/say-hello"), server.output
    assert "Traceback" not in server.output


def test_bodies_without_a_token_need_no_memory(served: ServeProcess) -> None:
    """Six clients go on sending 400 MB each, to routes of all kinds, whatever they are answered."""
    paths = (ROWS, "/api/v1/models", "/api/v1/model-versions/1/reference", "/invitation", "/nothing", ROWS)

    def attack(number: int) -> bytes:
        top = head("POST", paths[number], f"content-length: {400 * MB}", "content-type: application/json")
        with open_socket(served) as connection:
            return send_all(connection, iter([top, *repeat(BLOCK, 400 * MB // len(BLOCK))]))

    before = served.process.memory_info().rss
    with watched_memory(served) as peaks:
        at_once(6, attack)
    assert peaks[0] < before + 100 * MB


def test_bodies_with_a_token_stay_in_the_budget(served: ServeProcess) -> None:
    """Ten clients send three times the budget: some get 503, and what is held stays within it and its copies."""
    top = head("POST", ROWS, f"content-length: {90 * MB}", f"authorization: Basic {served.token}")

    def attack(_: int) -> bytes:
        with open_socket(served) as connection:
            return send_all(connection, iter([top, *repeat(BLOCK, 90 * MB // len(BLOCK)), b" " * (90 * MB % 65_536)]))

    with watched_memory(served) as peaks:
        answers = at_once(10, attack)
    statuses = {answer[9:12] for answer in answers if answer}
    assert statuses <= {b"404", b"422", b"503"}
    assert peaks[0] < PROCESS + 2 * HELD


def test_300_slow_clients_let_others_in(served: ServeProcess) -> None:
    """A fourth of them sends nothing, half a line, half a head, and half a body each."""
    half_head = head("POST", ROWS, "content-length: 1000")
    for sent in (b"", b"GET /api/v1/he", half_head[:-2], half_head + b"["):
        with open_sockets(served, 300, sent):
            for _ in range(5):
                assert served.request("GET", "/api/v1/say-hello").status == 200


def test_1500_connections_let_others_in(served: ServeProcess) -> None:
    with open_sockets(served, 1500, b"GET /"):
        for _ in range(10):
            assert served.request("GET", "/api/v1/say-hello").status == 200


def test_endless_heads_are_refused(served: ServeProcess) -> None:
    """Headers without end, as one line and as many."""
    before = served.process.memory_info().rss
    start = b"GET /api/v1/health-check HTTP/1.1\r\nhost: dcmon\r\n"
    line = b"x-a: " + b"b" * 65_000 + b"\r\n"

    def attack(number: int) -> bytes:
        blocks = repeat(line if number % 2 else b"c" * 65_536, 1_000)
        with open_socket(served) as connection:
            return send_all(connection, iter([start, *blocks]))

    with watched_memory(served) as peaks:
        answers = at_once(10, attack)
    assert {answer[9:12] for answer in answers if answer} <= {b"431", b"400"}
    assert peaks[0] < before + 100 * MB


def test_answers_without_a_token_name_no_version(served: ServeProcess) -> None:
    """Neither versions, nor names of servers or organizations, nor traces are shown to a stranger."""
    for path in ("/", "/nothing", "/api/v1/health-check", "/invitation", "/health/live", "/alerts/1", ROWS):
        with open_socket(served) as connection:
            answer = send_all(connection, iter([head("GET", path, "connection: close")])).lower()
        assert answer.startswith(b"http/1.1 ")
        for word in (b"uvicorn", b"postgres", b"python", b"acme", b"traceback", b"server:"):
            assert word not in answer, (path, word)


ODD_REQUESTS = [
    (head("POST", ROWS, f"content-length: {400 * MB}", "expect: 100-continue"), b"401"),
    (head("POST", ROWS, "transfer-encoding: chunked", "expect: 100-continue"), b"401"),
    (b"GET /api/v1/health-check HTTP/1.0\r\n\r\n", b"200"),
    (head("GET", "/api/v1/health-check", "connection: upgrade, close", "upgrade: websocket"), b"200"),
    (head("GET", "/api/v1/health-check", "connection: upgrade, close", "upgrade: h2c"), b"200"),
    (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"400"),
    (head("CONNECT", "example.org:443", "connection: close"), b"40"),
    (head("POST", ROWS, "content-length: 1", "transfer-encoding: chunked"), b"40"),
    (head("POST", ROWS, "content-length: -1"), b"400"),
    (head("POST", ROWS, "content-length: 9" + "9" * 30), b"4"),
    (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 100, b"400"),
]


def test_odd_requests_get_their_statuses(served: ServeProcess) -> None:
    for sent, status in ODD_REQUESTS:
        with open_socket(served) as connection:
            answer = send_all(connection, iter([sent]))
        assert answer[9:12].startswith(status), (sent[:80], answer[:300])
