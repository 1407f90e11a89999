"""All connections to PostgreSQL that the endpoint may have are in use."""

import json
from contextlib import ExitStack

from sqlalchemy import QueuePool

from dcmon.app import App
from dcmon.db.connections import MORE_CONNECTIONS
from tests.conftest import Acme
from tests.helpers.endpoint import serving
from tests.helpers.waiting import eventually


def test_request_without_a_connection_gets_503(app: App, acme: Acme) -> None:
    """It gets it before a client gives up, in the shape of all errors; and is answered when one is free."""
    pool = app.engine.pool
    assert isinstance(pool, QueuePool)
    with serving(app, acme.token) as client:
        assert client.request("GET", "available-models").status == 200
        with ExitStack() as stack:
            while pool.checkedout() < pool.size() + MORE_CONNECTIONS:
                stack.enter_context(app.engine.connect())
            url, headers = f"{client.url}/api/v1/available-models", {"authorization": f"Basic {client.token}"}
            answer = client.pool.request("GET", url, headers=headers, retries=False, timeout=20)
            assert answer.status == 503
            assert "in use" in json.loads(answer.data)["error_message"]
            assert answer.headers["retry-after"]
            assert client.request("GET", "health-check").status == 200
        assert eventually(lambda: client.request("GET", "available-models").status == 200)
