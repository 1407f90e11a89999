"""Hostile texts in every field that is a text, generated from OpenAPI: no response is 5xx."""

import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest

from dcmon.app import App
from dcmon.http import api, json_bodies
from tests.conftest import Acme
from tests.helpers.endpoint import serving
from tests.integration.conftest import Target

HOSTILE = {
    "nul": "a\0b", "half": "a\ud83d", "escape": "a\x1b[31m", "override": "a\u202eb", "zero width": "a\u200bb",
    "long": "x" * 60_000, "infinity": "Infinity", "number": "9" * 30, "quote": "'; drop table models; --",
}  # fmt: skip
HIDDEN = ("nul", "half", "escape", "override", "zero width")
CHOSEN = json_bodies.LINES | json_bodies.PROSE


def _schema(document: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    if "anyOf" in schema:
        return _schema(document, schema["anyOf"][0])
    return schema


def _example(document: dict[str, Any], schema: dict[str, Any], depth: int = 0) -> Any:
    """Return a value that fits a schema."""
    schema = _schema(document, schema)
    if "enum" in schema:
        return schema["enum"][0]
    match schema.get("type"):
        case "object":
            properties = schema.get("properties", {}) if depth < 5 else {}
            return {name: _example(document, part, depth + 1) for name, part in properties.items()}
        case "array":
            return [_example(document, schema.get("items", {}), depth + 1)] if depth < 5 else []
        case "integer" | "number":
            return max(1, schema.get("minimum", 1))
        case "boolean":
            return False
        case _:
            return "2026-03-01T00:00:00+00:00" if schema.get("format") == "date-time" else "x"


def _variants(value: Any, text: str, key: str = "", depth: int = 0) -> Iterator[tuple[Any, str, int]]:
    """Yield copies of a body with one text replaced, with the key of the text and its depth."""
    if isinstance(value, str):
        yield text, key, depth
    elif isinstance(value, dict):
        for name, part in value.items():
            for variant, place, level in _variants(part, text, name, depth + 1):
                yield {**value, name: variant}, place, level
    elif isinstance(value, list):
        for number, part in enumerate(value):
            for variant, place, level in _variants(part, text, key, depth):
                yield [*value[:number], variant, *value[number + 1 :]], place, level


def _addresses(path: str, parameters: list[dict[str, Any]], text: str) -> Iterator[str]:
    """Yield the path with the text in each parameter of path and query, one at a time."""
    encoded = quote(text.encode("utf-8", "surrogatepass")[:2000])
    for parameter in parameters:
        place = "{" + parameter["name"] + "}"
        if parameter["in"] == "path":
            yield _plain(path.replace(place, encoded))
        elif parameter["in"] == "query":
            yield f"{_plain(path)}?{parameter['name']}={encoded}"


def _plain(path: str) -> str:
    return re.sub(r"\{.*?\}", "1", path)


def _requests(document: dict[str, Any], text: str) -> Iterator[tuple[str, str, Any, str, int]]:
    """Yield method, path, body, and key and depth of the text in the body."""
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            for address in _addresses(path, operation.get("parameters", []), text):
                yield method.upper(), address, None, "", 0
            content = operation.get("requestBody", {}).get("content", {}).get("application/json")
            if content:
                for body, key, depth in _variants(_example(document, content["schema"]), text):
                    yield method.upper(), _plain(path), body, key, depth


@pytest.mark.parametrize("kind", list(HOSTILE))
def test_hostile_text_is_never_an_internal_error(app: App, acme: Acme, target: Target, kind: str) -> None:
    document = api.create(app).openapi()
    failures = list[tuple[str, str, int, bytes]]()
    with serving(app, acme.token) as client:
        for method, path, body, key, depth in _requests(document, HOSTILE[kind]):
            encoded = b"" if body is None else json.dumps(body).encode()
            response = client.pool.request(
                method, f"{client.url}{path}", body=encoded, retries=False, redirect=False,
                headers={"authorization": f"Basic {acme.token}", "content-type": "application/json"},
            )  # fmt: skip
            is_refused = 400 <= response.status < 500
            must_be_refused = kind in HIDDEN and key in CHOSEN and depth == 1
            if response.status in (500, 502) or (must_be_refused and not is_refused):
                failures.append((method, f"{path} {key}", response.status, response.data[:200]))
    assert failures == []
