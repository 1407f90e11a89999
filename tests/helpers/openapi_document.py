"""Questions about an OpenAPI document, for tests that compare it with what the endpoint answers."""

import json
from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import Any

from jsonschema import Draft202012Validator

Schema = Mapping[str, Any]
REFERENCE, CLOSED = "#/components/schemas/", "#/components/schemas/closed-"
JSON = "application/json"


def operations(document: Schema) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield method, path and description of each operation."""
    for path, described in document["paths"].items():
        for method, operation in described.items():
            yield method.upper(), path, operation


def statuses(operation: Schema) -> set[int]:
    """Return the statuses that an operation has, also those of success."""
    return {int(status) for status in operation["responses"]}


def with_closed_responses(document: Schema) -> dict[str, Any]:
    """Return a copy of a document by which responses have no fields that their schemas don't name."""
    copy: dict[str, Any] = deepcopy(dict(document))
    schemas = copy["components"]["schemas"]
    schemas |= {f"closed-{name}": _closed(schema) for name, schema in schemas.items()}
    responses = [*copy["components"]["responses"].values()]
    responses += [response for _, _, operation in operations(copy) for response in operation["responses"].values()]
    for response in responses:
        for content in response.get("content", {}).values():
            content["schema"] = _closed(content["schema"])
    return copy


def problems(document: Schema, operation: Schema, status: int, body: bytes) -> list[str]:
    """Return in what the JSON of a response differs from its schema."""
    response = operation["responses"][str(status)]
    if "$ref" in response:
        response = document["components"]["responses"][response["$ref"].rpartition("/")[2]]
    schema = response["content"][JSON]["schema"] | {"components": document["components"]}
    return [
        f"{error.json_path}: {error.message[:300]}"
        for error in Draft202012Validator(schema).iter_errors(json.loads(body))
    ]


def untyped(document: Schema, schema: Schema, place: str = "", seen: frozenset[str] = frozenset()) -> Iterator[str]:
    """Yield the places in a schema at which a value may be anything, or an object may have any fields."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        if name not in seen:
            yield from untyped(document, document["components"]["schemas"][name], name, seen | {name})
        return
    parts = [part for key in ("anyOf", "oneOf", "allOf") for part in schema.get(key, ())]
    for part in parts:
        yield from untyped(document, part, place, seen)
    kind = schema.get("type")
    if not parts and kind is None and "const" not in schema and "enum" not in schema:
        yield place
    if kind == "object" and "properties" not in schema and not isinstance(schema.get("additionalProperties"), Mapping):
        yield place
    if kind == "array" and "items" not in schema:
        yield place
    inner = {f"{place}.{name}": part for name, part in schema.get("properties", {}).items()}
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), Mapping):
            inner[f"{place}.*"] = schema[key]
    for name, part in inner.items():
        yield from untyped(document, part, name, seen)


def _closed(part: Any) -> Any:
    if isinstance(part, list):
        return [_closed(item) for item in part]
    if not isinstance(part, Mapping):
        return part.replace(REFERENCE, CLOSED) if isinstance(part, str) and part.startswith(REFERENCE) else part
    closed = {key: _closed(value) for key, value in part.items()}
    if part.get("type") == "object" and "properties" in part:
        closed.setdefault("additionalProperties", False)
    return closed
