"""Write what a command found for programs: as JSON, JSON lines, YAML, CSV or names."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from functools import cache
from typing import Any

from dcmon import yaml_text
from dcmon.errors import InvalidInput
from dcmon.formatting import printable, printable_json
from dcmon.nearest import meant
from dcmon.severity import Severity

Row = Mapping[str, Any]
Data = Row | Sequence[Row]  # an object, or a list of objects
BEFORE_NAME = ("dry_run", "org")  # fields that may stand before the first one of an object itself


class Format(StrEnum):
    """The format of results. The first two are for people, the others for programs."""

    table = "table"
    wide = "wide"
    json = "json"
    jsonl = "jsonl"
    yaml = "yaml"
    csv = "csv"
    name = "name"

    @property
    def is_for_people(self) -> bool:
        """Return True if results are tables; all other formats show the data itself."""
        return self in (Format.table, Format.wide)

    @property
    def has_error_objects(self) -> bool:
        """Return True if a program can read an error as an object, too."""
        return self in (Format.json, Format.jsonl, Format.yaml)


def choose_fields(data: Data, fields: Sequence[str]) -> Data:
    """Return only these fields of an object or of each object of a list, in this order; all if there are none.

    A field of an object in an object is `outer.inner`. A field that only other objects of the list have is None. Raises
    InvalidInput if no object has a field.
    """
    if not fields:
        return data
    rows = [data] if isinstance(data, Mapping) else data
    for field in fields:
        if rows and not any(_has(row, field) for row in rows):
            _refuse(field, rows)
    chosen = [{field: _value(row, field) for field in fields} for row in rows]
    return chosen[0] if isinstance(data, Mapping) else chosen


def choose_known_fields(row: Row, fields: Sequence[str]) -> Row:
    """Return only these fields of an object; all if there are none. A field that the object does not have is None."""
    return {field: _value(row, field) for field in fields} if fields else row


def arrange(rows: Sequence[Row], sort: str, limit: int | None, *, newest_is_last: bool = False) -> Sequence[Row]:
    """Return rows in the order of a field, and at most `limit` of them.

    `sort`: the field, as for `choose_fields`; with - before it the largest come first; empty: the order as it is.
    Severities are ordered by what they mean. Rows without the field come last. Raises InvalidInput if no row has it.
    `newest_is_last`: rows in their own order are a history, whose last ones are meant by the limit.
    """
    field = sort.removeprefix("-")
    if field and rows:
        if not any(_has(row, field) for row in rows):
            _refuse(field, rows)
        known = [row for row in rows if _value(row, field) is not None]
        ordered = sorted(known, key=lambda row: _order(_value(row, field)), reverse=sort.startswith("-"))
        rows = [*ordered, *(row for row in rows if _value(row, field) is None)]
    if limit is None:
        return rows
    return rows[-limit:] if newest_is_last and not field else rows[:limit]


def _order(value: Any) -> tuple[int, Any]:
    """Return what a value of any kind is compared by."""
    if isinstance(value, str) and value in tuple(Severity):
        return 0, Severity(value).rank
    if isinstance(value, bool | int | float):
        return 0, value
    if isinstance(value, datetime):
        return 0, value.timestamp()
    return (0, value.total_seconds()) if isinstance(value, timedelta) else (1, _csv_cell(value))


def serialize(data: Data, format: Format) -> str:
    """Return data in a format for programs, without the last line feed.

    JSON and YAML are one document; JSON lines, CSV and names have a line for each object. In CSV a list or object in a
    field is JSON. A name is the first field of an object, which further commands take; each is written once.
    """
    if format is Format.json:
        return _to_json(data, indent=2)
    if format is Format.yaml:
        return _to_yaml(data)
    rows = [data] if isinstance(data, Mapping) else data
    if format is Format.jsonl:
        return "\n".join(_to_json(row) for row in rows)
    if format is Format.csv:
        return _to_csv(rows)
    names = {(row.get("org"), _name(row)): _name(row) for row in rows}
    return "\n".join(printable(name, keeps_lines=False) for name in names.values())


def csv_header(fields: Sequence[str]) -> str:
    """Return the first line of CSV, of a list without rows."""
    return _to_csv([], fields)


def error_object(kind: str, message: str, exit_code: int) -> dict[str, Any]:
    """Return the object that tells a program of an error. `kind`: the kind of error, like not_found."""
    return {"error": {"kind": kind, "message": message, "exit_code": exit_code}}


def _has(row: Row, field: str) -> bool:
    if field in row:
        return True
    outer, dot, inner = field.partition(".")
    return bool(dot) and isinstance(row.get(outer), Mapping) and _has(row[outer], inner)


def _value(row: Row, field: str) -> Any:
    if field in row:
        return row[field]
    outer, dot, inner = field.partition(".")
    nested = row.get(outer) if dot else None
    return _value(nested, inner) if isinstance(nested, Mapping) else None


def _refuse(field: str, rows: Sequence[Row]) -> None:
    known = list(dict.fromkeys(name for row in rows for name in row))
    raise InvalidInput(f"There is no field {field!r}.{meant(field, known)} The fields are {', '.join(known)}.")


def _to_json(value: Any, indent: int | None = None) -> str:
    return printable_json(json.dumps(value, default=_plain, ensure_ascii=False, indent=indent))


def _to_yaml(data: Data) -> str:
    import yaml

    plain = json.loads(json.dumps(data, default=_plain))
    dumper = _yaml_dumper()
    text: str = yaml.dump(plain, Dumper=dumper, sort_keys=False, allow_unicode=True, width=120)
    # With an unprintable character, all that is not ASCII is escaped: YAML has no escapes outside of quotes.
    is_shown = all(sign.isprintable() or sign == "\n" for sign in text)
    if not is_shown:
        text = yaml.dump(plain, Dumper=dumper, sort_keys=False, width=120)
    return text.removesuffix("\n")


@cache
def _yaml_dumper() -> Any:
    import yaml

    dumper: Any = type("Dumper", (yaml.SafeDumper,), {})
    dumper.add_representer(str, yaml_text.represent)
    return dumper


def _to_csv(rows: Sequence[Row], fields: Sequence[str] = ()) -> str:
    target, names = io.StringIO(), list(fields or dict.fromkeys(name for row in rows for name in row))
    writer = csv.writer(target, lineterminator="\n")
    lines: list[list[Any]] = [names, *([row.get(name) for name in names] for row in rows)]
    writer.writerows([printable(_csv_cell(cell)) for cell in cells] for cells in lines)
    return target.getvalue().removesuffix("\n")


def _csv_cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool | Mapping | list | tuple | set | timedelta):
        return json.dumps(value, default=_plain, ensure_ascii=False)
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _name(row: Row) -> str:
    own = [value for field, value in row.items() if field not in BEFORE_NAME]
    return _csv_cell(next(iter(own or row.values()), None))


def _plain(value: Any) -> Any:
    """Convert a value that the json module does not know; a duration is a number of seconds."""
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, set | tuple):
        return list(value)
    return str(value)
