"""Named SQL statements, read from the `.sql` file that stands beside a module.

`due_windows.sql` beside `due_windows.py`:

    -- name: is_open
    n.delivered_at is null and n.dead_at is null

    -- name: claim
    -- A comment of whole lines is for readers and is not sent to the server.
    select n.id from notifications n where {is_open} and n.model_id = :model

    -- name: count_samples
    select count(*) from samples_{version} where ts >= :start

In `due_windows.py`, where constants stand:

    SQL = sql.read(__name__)
    CLAIM = text(SQL.statement("claim"))

and where the name of a table is only known at run time:

    session.scalar(text(SQL.statement("count_samples", version=version.relation)), {"start": start})

A `{name}` in a statement is filled with the keyword argument of that name, otherwise with the statement of that name in
the same file. A fragment that belongs to another module is handed in as a keyword argument. Values of users never go in
this way: they are bind parameters. Other braces ('{}', '{1,2}') stay as they are.
"""

import re
from functools import cache
from importlib import resources
from typing import Any, NamedTuple

NAME = re.compile(r"^-- name: *([a-z_0-9]+) *\n", re.MULTILINE)
COMMENT = re.compile(r"^\s*--.*\n?", re.MULTILINE)
PLACEHOLDER = re.compile(r"\{([a-z_][a-z_0-9]*)\}")


class BoundSql(NamedTuple):
    """A statement, or a part of one, with the values of its parameters."""

    sql: str
    parameters: dict[str, Any]


class Statements:
    """The statements of one `.sql` file, by name."""

    def __init__(self, file: str, statements: dict[str, str]) -> None:
        self.file, self._statements = file, statements

    @property
    def names(self) -> list[str]:
        """Return the names of all statements, in the order of the file."""
        return list(self._statements)

    def statement(self, name: str, /, **fragments: object) -> str:
        """Return the statement with its placeholders filled. Raises LookupError for an unknown name or placeholder."""
        if name not in self._statements:
            raise LookupError(f"{self.file} has no statement {name!r}. It has: {', '.join(self._statements)}.")

        def fill(placeholder: re.Match[str]) -> str:
            key = placeholder[1]
            if key in fragments:
                return str(fragments[key])
            if key not in self._statements:
                raise LookupError(f"{self.file}: statement {name!r} needs a value for {{{key}}}.")
            return self.statement(key, **fragments)

        return PLACEHOLDER.sub(fill, self._statements[name])


@cache
def identifier(name: str) -> str:
    """Return a name of a schema, table or column as SQL."""
    return '"' + name.replace('"', '""') + '"'


def read(module: str) -> Statements:
    """Read the statements beside a module, once per process. Call it with `__name__`."""
    package, _, stem = module.rpartition(".")
    return parse(f"{stem}.sql", resources.files(package).joinpath(f"{stem}.sql").read_text("utf-8"))


def parse(file: str, content: str) -> Statements:
    """Split the content of a `.sql` file at its `-- name:` lines. Raises ValueError for a repeated name."""
    _, *parts = NAME.split(content)
    names, bodies = parts[::2], parts[1::2]
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"{file} has more than one statement {', '.join(repeated)}.")
    return Statements(file, {name: COMMENT.sub("", body).strip() for name, body in zip(names, bodies, strict=True)})
