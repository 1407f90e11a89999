"""Write a debug bundle: one archive with what a helper needs to see, without secrets."""

import errno
import io
import json
import os
import tarfile
import threading
import time
import zipfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dcmon import data_formats, errors, file_errors
from dcmon.commands.operations import bundle_parts, stored_secrets
from dcmon.commands.operations.bundle_parts import NotHere, Part
from dcmon.commands.operations.redaction import Redactor
from dcmon.data_formats import Format
from dcmon.embedded import private_files

if TYPE_CHECKING:
    from dcmon.app import App

MOST_STORED_SECRETS = 2_000  # to look for more takes too long
MOST_BYTES = 5_000_000  # of one part
SECRETS = "secrets"  # not a part: the secrets to remove
README = """A debug bundle of dcmon.

manifest.json lists its files, and what could not be collected. Passwords, tokens, keys, headers and the paths of URLs
are replaced by (secret): those of the settings and of receivers, also encoded, and all that looks like one. If those of
receivers can't be read, logs and the like are left out, but for lines of servers that quote nothing. Rows of samples
are not in it. Names of organizations, models, receivers, hosts and tables are, and lines of logs. Read it before you
pass it on.
"""


class PartState(StrEnum):
    """What became of a part. ABSENT: there is nothing of this kind here; UNFINISHED: it took too long.

    LEFT_OUT: it may have secrets that are stored in the database, and these could not all be read.
    """

    COLLECTED = "collected"
    ABSENT = "absent"
    FAILED = "failed"
    UNFINISHED = "unfinished"
    LEFT_OUT = "left out"


@dataclass(frozen=True)
class Collected:
    """A part with what was collected; `value`: a text, or data."""

    name: str
    state: PartState
    seconds: float
    value: Any = None
    note: str = ""


@dataclass(frozen=True)
class Bundle:
    """A written bundle, with a row for each part."""

    path: Path
    size: int
    rows: Sequence[Mapping[str, Any]]

    @property
    def is_complete(self) -> bool:
        """True if no part failed, took too long, or was left out."""
        return all(row["state"] in (PartState.COLLECTED, PartState.ABSENT) for row in self.rows)


def write(app: "App", file: Path | None, seconds: float, *, is_replaced: bool = False) -> Bundle:
    """Collect all parts at the same time, and write those that are ready after `seconds`.

    `file`: the archive, .tar.gz or .zip; None: a name with the time, in the current directory. Raises InvalidInput,
    Conflict if the file exists unless `is_replaced`, DiskFull, or DcmonError if it can't be written.
    """
    now = datetime.now(UTC)
    path = file or Path(f"dcmon-debug-{now:%Y%m%dT%H%M%SZ}.tar.gz")
    if not path.name.endswith((".tar.gz", ".tgz", ".zip")):
        raise errors.InvalidInput(f"{path} is neither a .tar.gz nor a .zip: choose one of these names.")
    file_errors.require_free(path, is_replaced=is_replaced)
    secrets = Part(SECRETS, lambda app: stored_secrets.read(app, MOST_STORED_SECRETS))
    known = list(bundle_parts.known_secrets(app))
    with suppress(errors.DcmonError):  # several threads use it: it is made by none of them
        _ = app.engine
    all_parts = bundle_parts.all_parts(app)
    collected = collect(app, [secrets, *all_parts], seconds)
    stored = collected[0]
    if stored.state is not PartState.COLLECTED:
        reasons = {part.note for part in collected[1:] if part.state is not PartState.COLLECTED}
        reason = "" if stored.note in reasons else f": {stored.note}"
        may_have = {part.name: part for part in all_parts if part.may_have_stored_secrets}
        collected = [_left_out(it, reason, may_have[it.name]) if it.name in may_have else it for it in collected]
    redactor = Redactor([*known, *(stored.value or ())])
    files, rows = dict[str, bytes](), list[dict[str, Any]]()
    for part in collected:
        if part.name != SECRETS:
            content = _content(part, redactor)
            files |= {} if content is None else {part.name: content}
            size = 0 if content is None else len(content)
            note = redactor.clean(part.note)
            rows.append({"part": part.name, "state": part.state, "bytes": size, "seconds": part.seconds, "note": note})
    manifest = {"at": now, "stored_secrets": stored.state, "parts": rows}
    files = {"README.txt": README.encode(), "manifest.json": _json(manifest).encode(), **files}
    return Bundle(path, _write(path, files, now), rows)


def _left_out(part: Collected, reason: str, kind: Part) -> Collected:
    """Return a part without its value, from which secrets could not be removed, or with the lines that have none.

    `reason`: why they could not be; empty if another part says it.
    """
    if part.state is not PartState.COLLECTED:
        return part
    if kind.harmless is not None:
        lines = [line for line in part.value.split("\n") if kind.harmless.fullmatch(line)]
        return replace(part, value="\n".join(lines), note="only lines that quote nothing that is stored")
    note = f"stored secrets can't be read, and so not removed{reason}"
    return Collected(part.name, PartState.LEFT_OUT, part.seconds, None, note)


def collect(app: "App", parts: Sequence[Part], seconds: float) -> list[Collected]:
    """Collect parts, each in a thread of its own, until `seconds` are over. A thread that hangs is left behind."""
    results, deadline = dict[str, Collected](), time.monotonic() + seconds
    threads = [threading.Thread(target=_collect, args=(app, part, results), daemon=True) for part in parts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    late = f"not ready after {seconds:g} s"
    ready = dict(results)  # a late thread must not add to it
    return [ready.get(part.name, Collected(part.name, PartState.UNFINISHED, seconds, None, late)) for part in parts]


def _collect(app: "App", part: Part, results: dict[str, Collected]) -> None:
    started = time.monotonic()
    value, note, state = None, "", PartState.COLLECTED
    try:
        value = part.collect(app)
    except NotHere as reason:
        state, note = PartState.ABSENT, str(reason)
    except Exception as error:  # one part that fails must not cost the others
        state, note = PartState.FAILED, _first_line(error)
    results[part.name] = Collected(part.name, state, round(time.monotonic() - started, 2), value, note)


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    message = lines[0] if lines else ""
    return message if isinstance(error, errors.DcmonError) else f"{type(error).__name__}: {message}"


def _content(part: Collected, redactor: Redactor) -> bytes | None:
    """Return a part's file, without secrets; None if there is nothing. The end of a file that is too large is cut."""
    if part.state is not PartState.COLLECTED:
        return None
    text = part.value if isinstance(part.value, str) else _json(part.value)
    return redactor.clean(text).encode(errors="replace")[:MOST_BYTES]


def _json(data: Any) -> str:
    # Not ASCII escapes: a secret with other letters must be met as it is.
    plain = json.loads(json.dumps(data, default=str))
    return data_formats.serialize(plain, Format.json) + "\n"


def _write(path: Path, files: Mapping[str, bytes], now: datetime) -> int:
    """Write the archive, readable for its owner only; it has its name when it is complete. Return its bytes."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(unfinished, "xb", opener=private_files.opener) as target:
            if path.suffix == ".zip":
                _write_zip(target, files)
            else:
                _write_tar(target, files, path.name.split(".")[0], now)
            size = target.tell()
        unfinished.rename(path)
    except OSError as error:
        unfinished.unlink(missing_ok=True)
        if error.errno == errno.ENOSPC:
            raise errors.DiskFull(where=path.absolute().parent) from error
        raise errors.DcmonError(f"{path} can't be written: {error.strerror}.") from error
    return size


def _write_zip(target: Any, files: Mapping[str, bytes]) -> None:
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)


def _write_tar(target: Any, files: Mapping[str, bytes], directory: str, now: datetime) -> None:
    with tarfile.open(fileobj=target, mode="w:gz") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(f"{directory}/{name}")
            info.size, info.mtime, info.mode = len(content), int(now.timestamp()), 0o600
            archive.addfile(info, io.BytesIO(content))
