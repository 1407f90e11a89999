"""schemathesis finds no answer 5xx and none that the OpenAPI document does not have, with tokens of all roles."""

import os
import random
from pathlib import Path

import pytest

from dcmon.app import App
from dcmon.http import api
from tests.conftest import Acme
from tests.helpers import openapi_document, schema_fuzzer
from tests.helpers.endpoint import serving
from tests.helpers.populated import populate
from tests.helpers.schema_fuzzer import Plan
from tests.integration.conftest import Target

# Where CI is set, each run sends the same requests, as with hypothesis.
SEED = 1 if os.environ.get("CI") else int(os.environ.get("DCMON_TEST_SEED", random.randrange(10**6)))
WRITES, DELETES = ("GET", "POST", "PUT"), ("DELETE",)


def fuzz(app: App, acme: Acme, target: Target, directory: Path, role: str, **choices: object) -> int:
    """Fuzz a populated organization as a user with a role, and return how many requests were sent."""
    populated = populate(app, target, acme.token)
    document = openapi_document.with_closed_responses(api.create(app).openapi())
    document = schema_fuzzer.with_known(document, populated.known)
    with serving(app, acme.token) as endpoint:
        plan = Plan(populated.tokens[role], SEED, **choices)  # type: ignore[arg-type]
        report = schema_fuzzer.run(endpoint.url, document, plan, directory)
    print(f"seed {SEED}, {role}: {report.requests} requests")
    assert report.is_clean, report.output
    return report.requests


@pytest.mark.parametrize(("role", "methods"), [("owner", WRITES), ("owner", DELETES), ("viewer", DELETES + WRITES)])
def test_each_answer_is_documented(
    app: App, acme: Acme, target: Target, tmp_path: Path, role: str, methods: tuple[str, ...]
) -> None:
    sent = fuzz(app, acme, target, tmp_path, role, examples=2, methods=methods, phases="examples,fuzzing")
    assert sent >= 20


@pytest.mark.thorough
@pytest.mark.timeout(7200)
@pytest.mark.parametrize(
    ("role", "methods", "examples", "fewest"),
    [
        ("owner", WRITES, 200, 16_000),
        ("owner", DELETES, 100, 1_000),
        ("viewer", WRITES + DELETES, 20, 2_000),
        ("ingester", WRITES + DELETES, 20, 2_000),
    ],
)
def test_each_of_20000_answers_is_documented(
    app: App,
    acme: Acme,
    target: Target,
    tmp_path: Path,
    role: str,
    methods: tuple[str, ...],
    examples: int,
    fewest: int,
) -> None:
    assert fuzz(app, acme, target, tmp_path, role, examples=examples, methods=methods) >= fewest
