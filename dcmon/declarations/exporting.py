"""Write what an organization has as a file."""

from collections.abc import Mapping
from typing import Any

from dcmon.declarations import schema, yaml_writer
from dcmon.declarations.document import Document
from dcmon.declarations.state import State

SCHEMA_LINE = f"# yaml-language-server: $schema={schema.NAME}\n"


def to_data(state: State) -> Mapping[str, Any]:
    """Return the document of a state as plain data: secrets as references, and no signing secrets."""
    document = state.document
    if document.receivers is None:
        return document.to_data()
    receivers = {
        name: receiver.model_copy(update={"signing_secret": None}) for name, receiver in document.receivers.items()
    }
    exported: Document = document.model_copy(update={"receivers": receivers})
    return exported.to_data()


def to_text(data: Mapping[str, Any]) -> str:
    """Return a document as the text of a file."""
    return SCHEMA_LINE + yaml_writer.write(dict(data))
