"""Set and delete an organization's own keys of object stores."""

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from dcmon import errors, file_errors
from dcmon.ingestion.files import model_path, sources, store_keys
from dcmon.ingestion.files.store_keys import ACCESS_KEY_ID, PARAMETERS, REGION, SECRET_ACCESS_KEY

if TYPE_CHECKING:
    from dcmon.app import App

MAX_CHARACTERS = 100_000
FORM = f"lines like {ACCESS_KEY_ID} = …, {SECRET_ACCESS_KEY} = … and {REGION} = …, or a JSON object of them"


@dataclass(frozen=True)
class KeyDeletion:
    """A deletion of keys that is not done yet: the question to ask, what it does, and its row."""

    question: str
    delete: Callable[[], None]
    row: Mapping[str, Any]


def put(app: "App", path: str | None, region: str | None, *, is_checked: bool) -> dict[str, Any]:
    """Store the keys of a file, of stdin ("-"), or (None) those that are typed at a prompt.

    Raises InvalidInput, FileRefused, OwnKeysRefused or Unreachable.
    """
    org = app.organization()
    given = _typed(region) if path is None else _parsed(_text(path), "stdin" if path == "-" else path)
    keys = store_keys.create(
        _required(given, ACCESS_KEY_ID), _required(given, SECRET_ACCESS_KEY), region or _region(app, given)
    )
    if is_checked:
        store_keys.require_known(keys, app.settings.s3)
    with app.org(org) as session:
        stored = store_keys.put(session, keys)
        added = model_path.watch_unwatched(session)
        row = next(store_keys.describe(row) for row in store_keys.entries(session) if row.id == stored.id)
        return {
            "type": row["type"], **row["parameters"], "replaced": not stored.is_new,
            "sources": [source.name for source in added],
        }  # fmt: skip


def prepare_deletion(app: "App") -> KeyDeletion:
    """Count what is read with the organization's own keys. Raises NotFound if it has none."""
    with app.org() as session:
        if not store_keys.entries(session):
            raise errors.NotFound('The organization has no keys: "dcmon source set-keys" stores some.')
        buckets = [source for source in sources.entries(session) if sources.is_bucket(source.url)]
    of_paths = sum(source.is_of_path for source in buckets)
    row = {"deleted": store_keys.S3_TYPE, "unreadable": of_paths, "with_worker_keys": len(buckets) - of_paths}
    question = (
        f"Delete the keys of S3? {of_paths} sources of models' paths can't be read then, and"
        f" {len(buckets) - of_paths} others are read with the keys of the worker."
    )
    return KeyDeletion(question, lambda: _delete(app), row)


def _delete(app: "App") -> None:
    with app.org() as session:
        store_keys.delete(session)


def _region(app: "App", given: Mapping[str, str]) -> str:
    return given.get(REGION) or app.settings.s3.region or _required(given, REGION)


def _required(given: Mapping[str, str], name: str) -> str:
    if not given.get(name):
        advice = " Add it, or --region." if name == REGION else ""
        raise errors.InvalidInput(f"{name} is missing.{advice} The keys are given as {FORM}.")
    return given[name]


def _typed(region: str | None) -> dict[str, str]:
    """Ask for the keys on a terminal. Raises InvalidInput without one."""
    if not sys.stdin.isatty():
        raise errors.InvalidInput(f"There is no terminal to ask on: add --from FILE or --from -, with {FORM}.")
    return {
        ACCESS_KEY_ID: str(typer.prompt(ACCESS_KEY_ID, err=True)).strip(),
        SECRET_ACCESS_KEY: str(typer.prompt(SECRET_ACCESS_KEY, hide_input=True, err=True)).strip(),
        REGION: region or str(typer.prompt(REGION, err=True)).strip(),
    }


def _text(path: str) -> str:
    try:
        if path == "-":
            return sys.stdin.read(MAX_CHARACTERS)
        with Path(path).open(encoding="utf-8-sig", errors="replace") as file:
            return file.read(MAX_CHARACTERS)
    except OSError as error:
        raise file_errors.unreadable(path, error) from error


def _parsed(text: str, path: str) -> dict[str, str]:
    """Parse keys. The messages of errors quote nothing of the text, which has secrets. Raises InvalidInput."""
    if text.lstrip().startswith("{"):
        try:
            document = json.loads(text)
        except ValueError as error:
            raise errors.InvalidInput(f"{path} is no valid JSON.") from error
        return {name: str(document[name]) for name in PARAMETERS if isinstance(document.get(name), str)}
    given: dict[str, str] = {}
    for line in text.splitlines():
        name, _, value = line.partition("=")
        name = name.strip().lower()
        if name in PARAMETERS:
            if name in given:
                raise errors.InvalidInput(f"{path} has several values of {name}: leave one profile in it.")
            given[name] = value.strip()
    return given
