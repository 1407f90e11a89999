"""The JSON schema of files, for editors: the file schema.json beside this module, generated from the declared types."""

import json
from pathlib import Path
from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode, JsonSchemaValue

FILE = Path(__file__).with_name("schema.json")
NAME = "dcmon.schema.json"  # what examples and exported files call it
TITLE = "Monitoring as code: files of dcmon apply"


class _Generator(GenerateJsonSchema):
    """Leaves out the titles of fields, which only repeat their names."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    def generate(self, schema: Any, mode: JsonSchemaMode = "validation") -> JsonSchemaValue:
        return {"$schema": self.schema_dialect, **super().generate(schema, mode), "title": TITLE}


def generate() -> str:
    """Return the schema as it follows from the types."""
    from dcmon.declarations.document import Document

    schema = Document.model_json_schema(schema_generator=_Generator)
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def published() -> str:
    """Return the schema that comes with dcmon."""
    return FILE.read_text()


def main(*copies: str) -> None:
    """Write the schema beside this module, and to other files."""
    for file in (FILE, *map(Path, copies)):
        file.write_text(generate())


if __name__ == "__main__":
    import sys

    main(*sys.argv[1:])
