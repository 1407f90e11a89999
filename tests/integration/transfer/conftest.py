"""Fixtures: an organization with an object of each kind, and a second database."""

from collections.abc import Iterator

import pytest
from pydantic import SecretStr
from sqlalchemy import Engine, text

from dcmon.app import App
from dcmon.db import encryption
from dcmon.output import Output
from dcmon.settings import Settings
from tests.conftest import Acme, copied_database
from tests.helpers import populated
from tests.integration.conftest import Target, new_target

KEY = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="


@pytest.fixture
def filled(app: App, acme: Acme) -> Iterator[Target]:
    """Yield a version of organization acme, which has an object of each kind. The process has a key for secrets."""
    target = new_target(app.engine, acme.org)
    populated.populate(app, target, acme.token)
    with app.org(acme.org) as session:
        session.execute(
            text(
                "insert into webhooks (name, url, secret, severities)"
                " values ('oncall', 'https://hooks.example/x', 'signs', '[]')"
            )
        )
        session.execute(text("insert into model_members (model_id, user_id) select id, 1 from models"))
    encryption.use_keys([KEY])
    yield target
    encryption.use_keys([])


@pytest.fixture
def second_engine(server_url: str, template: str, data_dir: object) -> Iterator[Engine]:
    """Yield the engine of another database without organizations."""
    with copied_database(server_url, template) as url, App(Settings(database_url=SecretStr(url)), Output()) as other:
        engine = other.engine
        encryption.use_keys([KEY])
        yield engine


@pytest.fixture
def second(second_engine: Engine) -> Iterator[App]:
    """Yield an App on the other database."""
    with App(Settings(database_url=SecretStr(second_engine.url.render_as_string(False))), Output(quiet=True)) as other:
        other.engine = second_engine
        yield other
