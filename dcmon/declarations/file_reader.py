"""Read files, directories and stdin as one document; all faults of all files are reported at once."""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from dcmon import errors, file_errors
from dcmon.declarations import faults, merging, validation, yaml_reader
from dcmon.declarations.document import Document
from dcmon.declarations.faults import Fault, Mark
from dcmon.declarations.values import Problem
from dcmon.declarations.yaml_nodes import Node, Object

STDIN = "-"
SUFFIXES = (".yaml", ".yml")
MAX_FILES = 1_000


@dataclass(frozen=True)
class Source:
    """The content of a file."""

    name: str
    content: bytes


@dataclass(frozen=True)
class ReadFiles:
    """What files say. `document`: None if they have faults. `remarks`: what can't be known without the organization."""

    files: Sequence[str]
    document: Document | None
    faults: Sequence[Fault]
    remarks: Sequence[Fault] = ()
    root: Object | None = None

    def require(self) -> Document:
        """Return the document. Raises InvalidFiles, with all faults."""
        if self.document is None:
            number = len(set(self.faults))
            raise file_errors.InvalidFiles(
                faults=faults.text_of(self.faults), number=number, s="" if number == 1 else "s"
            )
        return self.document

    def to_faults(self, problems: Sequence[Problem]) -> list[Fault]:
        """Return problems of the document as faults, in their order in the files."""
        assert self.root is not None
        root = self.root
        return sorted({validation.to_fault(root, problem) for problem in problems})


def sources(paths: Sequence[str]) -> list[Source]:
    """Return the files that paths name: a file, a directory with all YAML files below it, or - for stdin.

    Raises NotFound, FileRefused or InvalidInput.
    """
    names = [name for path in paths for name in _names(path)]
    if len(names) > MAX_FILES:
        raise errors.InvalidInput(f"There are {len(names):,} files; at most {MAX_FILES:,} are read.")
    return [Source("stdin" if name == STDIN else name, _content(name)) for name in dict.fromkeys(names)]


def _names(path: str) -> Iterator[str]:
    if path == STDIN or not Path(path).is_dir():
        yield path
        return
    below = sorted(file for file in Path(path).rglob("*") if file.suffix in SUFFIXES and file.is_file())
    visible = [file for file in below if not any(part.startswith(".") for part in file.relative_to(path).parts)]
    if not visible:
        raise errors.InvalidInput(f"There is no file *.yaml or *.yml in {path}.")
    yield from map(str, visible)


def _content(name: str) -> bytes:
    try:
        if name == STDIN:
            return sys.stdin.buffer.read(yaml_reader.MAX_BYTES + 1)
        with Path(name).open("rb") as file:
            return file.read(yaml_reader.MAX_BYTES + 1)
    except FileNotFoundError as error:
        raise file_errors.unreadable(name, error) from error
    except (OSError, ValueError) as error:
        raise file_errors.FileRefused(path=name, reason=getattr(error, "strerror", None) or str(error)) from error


def read(files: Sequence[Source]) -> ReadFiles:
    """Return the document that files say together."""
    roots, collected = list[Node](), list[Fault]()
    for file in files:
        documents, of_file = yaml_reader.read(file.content, file.name)
        collected += of_file
        for document in documents:
            if isinstance(document, Object):
                roots.append(document)
            else:
                collected.append(Fault(document.mark, "A document is an object with keys like models and receivers."))
    names = [file.name for file in files]
    if not roots:
        at = Mark(names[0] if names else "stdin", 1, 1)
        return ReadFiles(names, None, collected or [Fault(at, "The files say nothing.")])
    root, of_merge = merging.merge(roots)
    collected += of_merge
    checked = validation.validate(root)
    collected += checked.faults
    return ReadFiles(names, None if collected else checked.document, collected, checked.remarks, root)
