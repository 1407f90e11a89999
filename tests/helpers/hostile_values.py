"""Requests with a hostile value in one field each, made from the OpenAPI document."""

import json
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

PLACE = "@@place@@"
TEXTS = (
    "", " ", "a\0b", "a\x1b[31mb", "a\u202eb", "a\u200bb", "\ufeff", "Infinity", "-Infinity", "NaN", "1e400", "-0.0",
    "null", "true", "9" * 400, str(2**31), str(2**63), str(-(2**63) - 1), "0", "-1", "1.5", "0000-01-01T00:00:00Z",
    "9999-12-31T23:59:59Z", "9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00", "2016-12-31T23:59:60Z",
    "2026-02-30T00:00:00Z", "1e308", "Europe/" + "x" * 300, "../../etc/passwd", "'; drop table models; --", "%s%n{0}{}",
    "(a+)+$", "\\", "data-ingestion", "_dc_sample_id", "x" * 3000, "\U0001f600" * 200, "%00", "*", "[]", "{}",
)  # fmt: skip
# JSON as it is sent: much of it can't be made by json.dumps.
FRAGMENTS = (
    "null", "true", "0", "-0.0", "1e400", "-1e400", "1e308", "NaN", "Infinity", "9" * 400, str(2**31), str(2**63),
    str(2**64), str(-(2**63) - 1), "0.1", "[]", "{}", "[[[]]]", "[" * 5000 + "]" * 5000, '{"a":' * 90 + "1" + "}" * 90,
    "[" + "0," * 30_000 + "0]", '"' + "x" * 100_000 + '"', '"a\\ud83d"', '"\\u0000"', '{"a":1,"a":2}', '{"\\u0000":1}',
    '{"":null}', '"\\udc00\\ud800"', "",
)  # fmt: skip


@dataclass(frozen=True)
class Hostile:
    """A request; `place` says which field has the hostile value."""

    method: str
    target: str
    body: bytes
    place: str


def requests(document: Mapping[str, Any], known: Mapping[str, Sequence[Any]]) -> Iterator[Hostile]:
    """Yield a request for each field of each route and each hostile value."""
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            ids = {} if method == "delete" else known  # otherwise the first requests would delete what others need
            parts = [part for part in operation.get("parameters", []) if part["in"] in ("path", "query")]
            body = _example(document, _schema_of_body(operation))
            yield from _in_addresses(method, path, parts, ids, body)
            target = _address(path, {part["name"]: _plain(part, ids) for part in parts if part["in"] == "path"})
            for place, rendered in _in_body(body):
                yield Hostile(method.upper(), target, rendered, place)


def sample(all_requests: Sequence[Hostile], count: int, seed: int) -> list[Hostile]:
    """Return some of the requests, in a random order."""
    return random.Random(seed).sample(all_requests, min(count, len(all_requests)))


def _schema_of_body(operation: Mapping[str, Any]) -> Mapping[str, Any] | None:
    found: Mapping[str, Any] | None = (
        operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
    )
    return found


def _in_addresses(
    method: str, path: str, parts: Sequence[Mapping[str, Any]], ids: Mapping[str, Sequence[Any]], body: Any
) -> Iterator[Hostile]:
    plain = {part["name"]: _plain(part, ids) for part in parts if part["in"] == "path"}
    encoded = b"" if body is None else json.dumps(body).encode()
    for part in parts:
        for text in TEXTS:
            value = quote(text.encode("utf-8", "surrogatepass"), safe="")
            if part["in"] == "path":
                target = _address(path, {**plain, part["name"]: value or "%20"})
            else:
                target = f"{_address(path, plain)}?{part['name']}={value}"
            yield Hostile(method.upper(), target, encoded, f"{part['in']} {part['name']}")


def _in_body(body: Any) -> Iterator[tuple[str, bytes]]:
    """Yield bodies with one hostile value each, also in place of the whole body."""
    if body is None:
        return
    fragments = [*FRAGMENTS, *(json.dumps(text) for text in TEXTS)]
    for place, variant in [("body", PLACE), *_variants(body, "body")]:
        before, _, after = json.dumps(variant).partition(f'"{PLACE}"')
        for fragment in fragments:
            yield place, f"{before}{fragment}{after}".encode("utf-8", "surrogatepass")


def _variants(value: Any, place: str) -> Iterator[tuple[str, Any]]:
    items: Sequence[tuple[Any, Any]] = []
    if isinstance(value, dict):
        items = list(value.items())
    elif isinstance(value, list):
        items = list(enumerate(value))
    for key, item in items:
        for name, variant in [(f"{place}.{key}", PLACE), *_variants(item, f"{place}.{key}")]:
            copy = value.copy()
            copy[key] = variant
            yield name, copy


def _address(path: str, values: Mapping[str, str]) -> str:
    for name, value in values.items():
        path = path.replace("{" + name + "}", value)
    return path


def _plain(part: Mapping[str, Any], ids: Mapping[str, Sequence[Any]]) -> str:
    values = ids.get(part["name"]) or [2**31 - 2]
    return quote(str(values[0]), safe="")


def _example(document: Mapping[str, Any], schema: Mapping[str, Any] | None, depth: int = 0) -> Any:
    """Return a value that fits a schema, with all its fields."""
    if schema is None:
        return None
    while "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    for choice in ("anyOf", "oneOf"):
        if choice in schema:
            return _example(document, schema[choice][0], depth)
    if "const" in schema or "enum" in schema:
        return schema.get("const", schema.get("enum", [None])[0])
    match schema.get("type"):
        case "object":
            properties = schema.get("properties", {}) if depth < 6 else {}
            return {name: _example(document, part, depth + 1) for name, part in properties.items()} or {"age": 1}
        case "array":
            return [_example(document, schema.get("items", {}), depth + 1)] if depth < 6 else []
        case "integer" | "number":
            return max(1, schema.get("minimum", 1))
        case "boolean":
            return False
        case _:
            return "2026-03-02T00:00:00+00:00" if schema.get("format") == "date-time" else "age"
