"""The published JSON schema is that of the types, and describes the files of the docs."""

import json

import pytest

from dcmon.declarations import schema
from dcmon.declarations.document import Document
from tests.helpers.paths import DOCS


def test_published_schema_is_current() -> None:
    """After a change: .venv/bin/python -m dcmon.declarations.schema docs/dcmon.schema.json"""
    assert schema.published() == schema.generate()
    assert (DOCS / "dcmon.schema.json").read_text() == schema.published()


@pytest.mark.parametrize("name", ["MonitorDeclaration", "RuleDeclaration", "ReceiverDeclaration", "ModelDeclaration"])
def test_every_key_of_the_schema_is_described(name: str) -> None:
    described = json.loads(schema.published())["$defs"][name]
    assert described["additionalProperties"] is False
    assert described["description"]


def test_schema_has_the_keys_of_files() -> None:
    keys = json.loads(schema.published())["properties"]
    assert list(keys) == list(Document.model_fields)
