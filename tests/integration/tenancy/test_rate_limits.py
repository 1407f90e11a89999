"""Rate limits over HTTP: requests are accepted or refused as a whole, and all processes share one count."""

import gzip
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis
import urllib3
from pydantic import SecretStr

from dcmon.app import App
from dcmon.embedded import valkey
from dcmon.output import Output
from dcmon.settings import Settings
from dcmon.tenancy import rate_limits
from tests.conftest import Acme
from tests.helpers.command_line import dcmon
from tests.helpers.endpoint import Endpoint, error_message, serving
from tests.helpers.waiting import eventually
from tests.integration.commands.test_exit_codes import require_refused
from tests.integration.conftest import Target, labels, rows


@pytest.fixture
def client(app: App, acme: Acme) -> Iterator[Endpoint]:
    with serving(app, acme.token) as endpoint:
        yield endpoint


def set_limits(app: App, acme: Acme, **limits: int | None) -> None:
    with app.public() as session:
        rate_limits.change(session, acme.org.id, limits)


def post_samples(client: Endpoint, target: Target, first: int, count: int) -> int:
    return status_of(client.samples(target.version_id, rows(first, count)))


def post(client: Endpoint, target: Target, body: bytes, **headers: str) -> int:
    return status_of(client.request("POST", f"model-versions/{target.version_id}/data", body, **headers))


def status_of(response: urllib3.BaseHTTPResponse) -> int:
    if response.status == 429:
        assert 0 < int(response.headers["retry-after"]) <= 61
        assert "Nothing was stored" in error_message(response)
    return response.status


def log_labels(client: Endpoint, target: Target, first: int, count: int) -> int:
    return status_of(client.labels(target.model_id, labels(first, count)))


def test_request_over_the_limit_is_refused_and_not_counted(
    app: App, acme: Acme, target: Target, client: Endpoint
) -> None:
    set_limits(app, acme, samples_per_minute=100)

    assert post_samples(client, target, 0, 60) == 200
    assert post_samples(client, target, 60, 41) == 429
    assert post_samples(client, target, 60, 40) == 200
    assert post_samples(client, target, 100, 1) == 429

    assert target.samples == 100


def test_samples_and_labels_are_counted_separately(app: App, acme: Acme, target: Target, client: Endpoint) -> None:
    set_limits(app, acme, samples_per_minute=10, labels_per_minute=20)

    assert [post_samples(client, target, 0, 10), post_samples(client, target, 10, 1)] == [200, 429]
    assert [log_labels(client, target, 0, 20), log_labels(client, target, 20, 1)] == [200, 429]


def test_request_larger_than_the_limit_is_413(app: App, acme: Acme, target: Target, client: Endpoint) -> None:
    set_limits(app, acme, samples_per_minute=10)
    response = client.samples(target.version_id, rows(0, 11))

    assert response.status == 413
    assert "never fits" in error_message(response)
    assert target.samples == 0


def test_bytes_are_counted_in_the_decompressed_body(app: App, acme: Acme, target: Target, client: Endpoint) -> None:
    body = b"[" + b",".join(rows(0, 50)) + b"]"
    packed = gzip.compress(body)
    set_limits(app, acme, sample_bytes_per_minute=len(body) + len(packed))

    assert post(client, target, packed, **{"content-encoding": "gzip"}) == 200
    assert post(client, target, body) == 429
    assert post(client, target, body, **{"content-encoding": "br"}) == 400
    assert post(client, target, packed[:-9], **{"content-encoding": "gzip"}) == 400
    assert post(client, target, packed + packed, **{"content-encoding": "gzip"}) == 400
    assert target.samples == 50


def test_failed_request_is_not_counted(app: App, acme: Acme, target: Target, client: Endpoint) -> None:
    set_limits(app, acme, samples_per_minute=10)
    for _ in range(3):
        assert client.samples(99999, rows(0, 10)).status == 404
        assert post(client, target, b"[" + b"{}," * 9 + b"{]") == 422
        with (
            pytest.raises(ZeroDivisionError),
            app.meter.counting(acme.org, rate_limits.Limits(samples_per_minute=10), "samples", range(10), 0),
        ):
            raise ZeroDivisionError

    assert post_samples(client, target, 0, 10) == 200


def test_organization_without_limits_is_never_refused(target: Target, client: Endpoint) -> None:
    assert [post_samples(client, target, first, 500) for first in range(0, 2000, 500)] == [200] * 4


@contextmanager
def two_apps(database_url: str, data_dir: Path, url: str) -> Iterator[tuple[App, App]]:
    """Open two Apps, as in two server processes, on one Redis."""
    settings = Settings(database_url=SecretStr(database_url), data_dir=data_dir, redis_url=SecretStr(url))
    with App(settings, Output(quiet=True)) as first, App(settings, Output(quiet=True)) as second:
        yield first, second


@pytest.fixture
def server(data_dir: Path) -> Iterator[valkey.Server]:
    created = valkey.start(data_dir)
    yield created
    created.stop()


def test_two_processes_count_together_in_redis(
    database_url: str, data_dir: Path, server: valkey.Server, acme: Acme, target: Target
) -> None:
    with two_apps(database_url, data_dir, server.url) as apps:
        set_limits(apps[0], acme, samples_per_minute=100)
        with serving(apps[0], acme.token) as first, serving(apps[1], acme.token) as second:
            assert [
                post_samples(first, target, 0, 60),
                post_samples(second, target, 60, 60),
                post_samples(second, target, 60, 40),
            ] == [200, 429, 200]
            assert [post_samples(first, target, 100, 1), post_samples(second, target, 100, 1)] == [429, 429]


def test_failed_request_is_subtracted_in_redis(
    database_url: str, data_dir: Path, server: valkey.Server, acme: Acme
) -> None:
    ten = rate_limits.Limits(samples_per_minute=10, sample_bytes_per_minute=100)
    with two_apps(database_url, data_dir, server.url) as (first, second):
        with pytest.raises(ZeroDivisionError), first.meter.counting(acme.org, ten, "samples", range(10), 100):
            raise ZeroDivisionError
        with second.meter.counting(acme.org, ten, "samples", range(10), 100):
            pass
        with redis.Redis.from_url(server.url) as direct:
            # Each second has a count of its own, and the two requests may come in different seconds.
            counts = [sum(map(int, direct.hvals(key))) for key in direct.keys("dcmon:logged:*")]
            assert sorted(counts) == [10, 100]


def test_redis_counts_the_last_minute_and_returns_the_wait(
    database_url: str, data_dir: Path, server: valkey.Server, acme: Acme
) -> None:
    """Counts older than a minute are deleted."""
    ten, key = rate_limits.Limits(samples_per_minute=10), f"dcmon:logged:{acme.org.id}:samples"
    with two_apps(database_url, data_dir, server.url) as (app, _), redis.Redis.from_url(server.url) as direct:
        now = int(direct.time()[0])
        direct.hset(key, mapping={str(now - 90): 10, str(now - 61): 10, str(now - 50): 4, str(now - 20): 4})
        with app.meter.counting(acme.org, ten, "samples", range(2), 0):
            pass
        assert not direct.hexists(key, str(now - 90))
        before = int(direct.time()[0])
        with (
            pytest.raises(rate_limits.errors.OverLimit) as raised,
            app.meter.counting(acme.org, ten, "samples", range(5), 0),
        ):
            pass
        free_at, after = now + 41, int(direct.time()[0])
        assert free_at - after - 1 <= raised.value.details["retry_after"] <= free_at - before + 1
        assert 0 < direct.ttl(key) <= 61


def test_limit_holds_while_redis_is_unavailable(
    database_url: str,
    data_dir: Path,
    server: valkey.Server,
    acme: Acme,
    target: Target,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with two_apps(database_url, data_dir, server.url) as (app, _), serving(app, acme.token) as client:
        set_limits(app, acme, samples_per_minute=100)
        assert post_samples(client, target, 0, 60) == 200
        server.process.kill()
        server.process.wait()
        assert [post_samples(client, target, first, n) for first, n in ((60, 41), (60, 40), (100, 1))] == [
            429,
            200,
            429,
        ]

    assert sum("Redis is unavailable" in record.message for record in caplog.records) == 1
    assert target.samples == 100


def test_client_reconnects_after_a_restart_of_valkey(data_dir: Path, server: valkey.Server) -> None:
    with App(Settings(data_dir=data_dir), Output(quiet=True)) as app:
        script, keys = "return redis.call('INCRBY', KEYS[1], ARGV[1])", ["k"]
        assert app.redis_scripts.run(script, keys, [5]) == 5
        server.process.kill()
        server.process.wait()
        assert app.redis_scripts.run(script, keys, [5]) is None
        again = valkey.start(data_dir)
        try:
            assert eventually(lambda: app.redis_scripts.run(script, keys, [5]) == 5, every=0.1)
        finally:
            again.stop()


def test_limits_are_set_shown_and_removed(data_dir: Path, database_url: str, acme: Acme) -> None:
    def run(*arguments: str) -> object:
        done = dcmon("-o", "json", *arguments, data_dir=data_dir, url=database_url)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    set_ = ["org", "set", "acme"]
    assert run(*set_, "--samples-per-minute", "5", "--label-bytes-per-minute", "7")["samples_per_minute"] == 5
    assert run("org", "show", "acme")["label_bytes_per_minute"] == 7
    assert run(*set_, "--samples-per-minute", "none")["samples_per_minute"] is None
    assert run("org", "list")[0]["label_bytes_per_minute"] == 7
    for wrong in ([], ["--samples-per-minute", "many"], ["--samples-per-minute", "-1"]):
        assert dcmon(*set_, *wrong, data_dir=data_dir, url=database_url).returncode == 2
    require_refused(dcmon(*set_, "--labels-per-minute", "0", data_dir=data_dir, url=database_url), 2, "above 0")
