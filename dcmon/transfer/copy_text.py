"""Lines of PostgreSQL's COPY in its text format: fields between tabs, with backslashes before what is special."""

import re
from collections.abc import Callable, Mapping, Sequence

NULL = rb"\N"
Field = bytes | None
_UNESCAPED = {b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v"}
_ESCAPED = {ord(value): b"\\" + name for name, value in _UNESCAPED.items()} | {ord("\\"): b"\\\\"}
_SEQUENCE, _SPECIAL = re.compile(rb"\\(.)", re.DOTALL), re.compile(rb"[\b\f\n\r\t\v\\]")


def decode(field: bytes) -> Field:
    """Return the value of a field; None for null."""
    if field == NULL:
        return None
    return _SEQUENCE.sub(lambda match: _UNESCAPED.get(match[1], match[1]), field) if b"\\" in field else field


def encode(value: Field) -> bytes:
    """Return the field of a value."""
    return NULL if value is None else _SPECIAL.sub(lambda match: _ESCAPED[match[0][0]], value)


def always(value: Field) -> Callable[[Field], Field]:
    """Return a change that stores the same value in each row."""
    return lambda _: value


def change_fields(columns: Sequence[str], changes: Mapping[str, Callable[[Field], Field]]) -> Callable[[bytes], bytes]:
    """Return a function that changes some fields of complete lines."""
    positions = [(columns.index(name), change) for name, change in changes.items() if name in columns]

    def change_line(line: bytes) -> bytes:
        fields = line.split(b"\t")
        for position, change in positions:
            fields[position] = encode(change(decode(fields[position])))
        return b"\t".join(fields)

    def change_lines(lines: bytes) -> bytes:
        return b"".join(change_line(line) + b"\n" for line in lines.split(b"\n")[:-1])

    return change_lines
