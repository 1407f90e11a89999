"""Hints for senders: what to change in a row or a body that is refused."""

import re
import unicodedata
from collections.abc import Collection, Mapping
from functools import lru_cache
from typing import Any

CONNECT_HINT = "The row is in the field payload of Kafka Connect: send it alone (value.converter.schemas.enable=false)."
DEBEZIUM_HINT = (
    "The row is in the field after of a change event: send it alone (Debezium's transform ExtractNewRecordState)."
)
MAX_COMPARED_LENGTH = 1_000  # characters: NFKC needs time quadratic in the number of combining characters
SEARCHED_BYTES = 1_000_000  # for the end of the first row
_INVISIBLE = re.compile("[\\s_\u200b-\u200f\u202a-\u202e\u2060\ufeff-]+")
# The beginning of a body in another format, and the sentence about it.
_SIGNATURES: tuple[tuple[bytes, str], ...] = (
    (b"\x1f\x8b", "The body is gzip: send the header Content-Encoding: gzip."),
    (b"\x28\xb5\x2f\xfd", "The body is compressed with zstd: send it uncompressed or with gzip."),
    (b"\xff\xfe", "The body is in UTF-16: send it in UTF-8."),
    (b"\xfe\xff", "The body is in UTF-16: send it in UTF-8."),
    (b"PAR1", 'The body is a Parquet file: "dcmon ingest file" loads files.'),
    (b"Obj\x01", "The body is an Avro file: send JSON."),
    (b"\0", "The body is binary, as from a serializer of Avro or Protobuf: send JSON."),
)


def for_body(body: bytes) -> str:
    """Return a hint for a body that is not a JSON array, or an empty text."""
    beginning = body[:100].lstrip()
    hint = next((sentence for signature, sentence in _SIGNATURES if beginning.startswith(signature)), "")
    if hint or not beginning.startswith(b"{"):
        return hint
    if re.search(rb"\}\s*+\{", body[:SEARCHED_BYTES]):
        return "These are JSON lines: put the rows in brackets with commas between them, [{…}, {…}]."
    return "Put the rows in brackets, also a single one: [{…}]."


def for_unknown_field(name: str, values: Any, known: tuple[str, ...]) -> str:
    """Return a hint for a field that the version does not have, or an empty text. `values`: the whole row."""
    fields: Collection[str] = values if isinstance(values, dict) else ()
    if name in ("schema", "payload") and {"schema", "payload"} <= set(fields):
        return CONNECT_HINT
    if name in ("before", "after", "op", "source") and {"after", "op"} <= set(fields):
        return DEBEZIUM_HINT
    similar = _by_simplified(known).get(_simplified(name)) if len(name) <= MAX_COMPARED_LENGTH else None
    if similar is None:
        return ""
    looks_same = unicodedata.normalize("NFC", similar) == unicodedata.normalize("NFC", name)
    return f"It has {similar!r}, in other characters that look the same." if looks_same else f"It has {similar!r}."


@lru_cache(maxsize=64)
def _by_simplified(names: tuple[str, ...]) -> Mapping[str, str]:
    """Return the names by what readers see of them. Cached, because each row of a request may have an unknown field."""
    return {_simplified(name): name for name in reversed(names) if len(name) <= MAX_COMPARED_LENGTH}


def _simplified(name: str) -> str:
    """Return a name without what a reader may overlook: upper case, blanks, and how accents are written."""
    return _INVISIBLE.sub("", unicodedata.normalize("NFKC", name).casefold())
