"""Run schemathesis against a served endpoint: requests from its OpenAPI document, each answer compared with it."""

import json
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Not checked: that each invalid value is refused, because 0 for false and "1" for 1 are accepted as ever; and that each
# valid one is accepted, because bounds between fields and of texts are not in a JSON schema.
CHECKS = (
    "not_a_server_error", "status_code_conformance", "content_type_conformance", "response_headers_conformance",
    "response_schema_conformance", "unsupported_method", "allow_header_conformance",
)  # fmt: skip
# The first two end the token of the run or the membership. The last one answers 503 unless a worker runs.
NOT_TRIED = ("/users/regenerate-api-token", "/organization/leave", "/alert-webhooks/{webhook_id}/test")
CONFIG = """
warnings = false
[generation]
max-examples = {examples}
"""


@dataclass(frozen=True)
class Report:
    """What schemathesis found. `requests`: how many it sent."""

    requests: int
    output: str
    is_clean: bool


@dataclass(frozen=True)
class Plan:
    """How to fuzz: with which token, how many examples of each route, and only some methods."""

    token: str
    seed: int
    examples: int
    methods: Sequence[str] = ("GET", "POST", "PUT", "DELETE")
    phases: str = "examples,coverage,fuzzing"


def with_known(document: Mapping[str, Any], known: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
    """Return a copy of a document in which parameters are mostly ids of objects that exist."""
    copy = deepcopy(dict(document))
    for operations in copy["paths"].values():
        for operation in operations.values():
            # The same key in several requests would hide what the route answers.
            parameters = [part for part in operation.get("parameters", []) if part["name"] != "Idempotency-Key"]
            operation["parameters"] = parameters
            for parameter in parameters:
                if values := known.get(parameter["name"]):
                    _offer(parameter, list(values))
    return copy


def _offer(parameter: dict[str, Any], values: list[Any]) -> None:
    is_list = parameter["schema"].get("type") == "array"
    wanted = {"type": "array", "items": {"enum": values}, "minItems": 1} if is_list else {"enum": values}
    parameter["schema"] = {"anyOf": [wanted, parameter["schema"]]}
    parameter["examples"] = {str(number): {"value": [v] if is_list else v} for number, v in enumerate(values)}


def run(url: str, document: Mapping[str, Any], plan: Plan, directory: Path) -> Report:
    """Fuzz the endpoint at a URL, and return what was found."""
    (directory / "openapi.json").write_text(json.dumps(document))
    (directory / "schemathesis.toml").write_text(CONFIG.format(examples=plan.examples))
    arguments = [
        "run", "openapi.json", "--url", url, "--checks", ",".join(CHECKS),
        "--header", f"Authorization: Basic {plan.token}",
        "--seed", str(plan.seed), "--phases", plan.phases, "--suppress-health-check", "all", "--no-shrink",
        "--continue-on-failure", "--max-redirects", "0", "--request-timeout", "120", "--no-color",
    ]  # fmt: skip
    for method in plan.methods:
        arguments += ["--include-method", method]
    for path in NOT_TRIED:
        arguments += ["--exclude-path", f"/api/v1{path}"]
    command = [sys.executable, "-c", "from schemathesis.cli import schemathesis; schemathesis()", *arguments]
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=3600)
    found = re.search(r"(\d+) generated", done.stdout)
    return Report(int(found[1]) if found else 0, done.stdout + done.stderr, done.returncode == 0)
