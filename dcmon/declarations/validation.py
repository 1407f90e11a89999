"""Check a document without a database: keys and types, then what objects say of themselves and of one another."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from dcmon.declarations import cross_checks, sound_parts
from dcmon.declarations.document import Document
from dcmon.declarations.faults import Fault
from dcmon.declarations.values import Declaration, Problem, key
from dcmon.declarations.yaml_nodes import Node, Object, mark_at, to_data
from dcmon.nearest import meant

KEYS = re.compile(r" The keys are [^.]*\.$")
QUOTED = re.compile("'([^']*)'")


@dataclass(frozen=True)
class Checked:
    """A document with its faults; None if its keys or types can't be used."""

    document: Document | None
    faults: Sequence[Fault]
    remarks: Sequence[Fault] = ()


def validate(root: Object) -> Checked:
    """Return the document of a node, and all faults."""
    data = to_data(root)
    try:
        document = Document.model_validate(data)
    except ValidationError as error:
        return _of_sound_parts(root, data, error)
    collected = [to_fault(root, problem) for problem in _all_problems(document)]
    return Checked(document, collected, [to_fault(root, problem) for problem in cross_checks.remarks(document)])


def _of_sound_parts(root: Object, data: Any, error: ValidationError) -> Checked:
    """Return the faults of keys and types, and all others that the sound parts have."""
    reasons = _reasons(data, error)
    collected = _listing_once(Fault(mark_at(root, path), _title(path) + text) for path, text in reasons.items())
    parts = [sound_parts.faulty_part(path) for path in reasons]
    try:
        sound = Document.model_validate(sound_parts.without(data, parts))
    except ValidationError:
        return Checked(None, collected)
    others = [problem for problem in _all_problems(sound) if not any(_is_in(problem.path, part) for part in parts)]
    return Checked(None, [*collected, *(to_fault(root, problem) for problem in others)])


def _listing_once(faults: Iterable[Fault]) -> list[Fault]:
    """Return faults in the order of their places, of which only the first lists the keys of a kind of object."""
    listings, shown = set[str](), list[Fault]()
    for fault in sorted(faults):
        listing = KEYS.search(fault.message)
        text = fault.message
        if listing is not None and listing[0] in listings:
            before = text[: listing.start()]
            text = before if "Do you mean" in before else f"{before} Its keys are listed above."
        listings |= set() if listing is None else {listing[0]}
        shown.append(replace(fault, message=text))
    return shown


def _is_in(path: Sequence[str | int], part: Sequence[str | int]) -> bool:
    return list(path[: len(part)]) == list(part)


def _all_problems(document: Document) -> Iterator[Problem]:
    yield from _problems(document, [])
    yield from cross_checks.problems(document)


def to_fault(root: Node, problem: Problem) -> Fault:
    """Return a problem of a document as a fault of its file."""
    return Fault(mark_at(root, problem.path), f"{_title(problem.path)}{problem.message}")


def _title(path: Sequence[str | int]) -> str:
    """Return the object that a path leads to, for the beginning of a message: models / credit / monitors / drift."""
    names = [str(step + 1) if isinstance(step, int) else step for step in path]
    return f"{' / '.join(names)}: " if names else ""


def _problems(declared: Any, path: list[str | int]) -> Iterator[Problem]:
    """Yield what declarations say of themselves, with paths from the document."""
    if isinstance(declared, Declaration):
        for problem in declared.problems():
            yield Problem(path=[*path, *problem.path], message=problem.message)
        for name in type(declared).model_fields:
            yield from _problems(getattr(declared, name), [*path, key(name)])
    elif isinstance(declared, Mapping):
        for name, inner in declared.items():
            yield from _problems(inner, [*path, name])
    elif isinstance(declared, list):
        for number, inner in enumerate(declared):
            yield from _problems(inner, [*path, number])


def _reasons(data: Any, error: ValidationError) -> dict[tuple[str | int, ...], str]:
    """Return what is wrong with values, by path; the reasons of a choice between types are one."""
    reasons: dict[tuple[str | int, ...], list[str]] = {}
    for detail in error.errors(include_url=False):
        path = _existing(data, detail["loc"])
        reasons.setdefault(path, []).append(_reason(detail, path))
    return {path: " Or: ".join(dict.fromkeys(texts)) for path, texts in reasons.items()}


def _existing(data: Any, path: tuple[str | int, ...]) -> tuple[str | int, ...]:
    """Return the beginning of a path that the file has; pydantic adds the branches of unions, and missing keys."""
    steps = list[str | int]()
    for step in path:
        has_key = isinstance(data, Mapping) and step in data
        if not has_key and not (isinstance(data, list) and isinstance(step, int)):
            break
        data = data[step]
        steps.append(step)
    return tuple(steps)


def _reason(detail: Any, path: tuple[str | int, ...]) -> str:
    kind, given = detail["type"], detail["input"]
    if kind == "extra_forbidden":
        known = _known_keys(path[:-1])
        return f"There is no key {str(path[-1])!r} here.{meant(path[-1], known)} The keys are {', '.join(known)}."
    if kind == "missing":
        return f"The key {detail['loc'][-1]!r} is missing."
    if kind == "string_type" and isinstance(given, int | float | bool):
        return f"Here is a text, so write it in quotes: '{_yaml(given)}'."
    if given is None:
        return "Here is a value; leave the key out in place of null."
    if kind == "literal_error" and isinstance(given, str):
        known = QUOTED.findall(detail["ctx"]["expected"])
        return _sentence(f"{detail['msg']}, not {given[:60]!r}") + meant(given, known)
    return _sentence(str(detail["msg"]))


def _yaml(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _sentence(message: str) -> str:
    message = message.replace("Input should be", "It must be").replace("dictionary", "object")
    return message if message.endswith(".") else f"{message}."


def _known_keys(path: Sequence[str | int]) -> list[str]:
    """Return the keys of the object that a path leads to."""
    annotation: Any = Document
    for step in path:
        annotation = _inner(annotation, step)
    model = next(_models(annotation), None)
    return [] if model is None else [key(name) for name in model.model_fields]


def _inner(annotation: Any, step: str | int) -> Any:
    model = next(_models(annotation), None)
    if model is not None and not _has_container(annotation):
        field = next((field for name, field in model.model_fields.items() if key(name) == step), None)
        return None if field is None else field.annotation
    container = next(
        (part for part in (annotation, *get_args(annotation)) if getattr(part, "__origin__", None) in (dict, list)),
        None,
    )
    return get_args(container)[-1] if container is not None else None


def _has_container(annotation: Any) -> bool:
    return any(getattr(part, "__origin__", None) in (dict, list) for part in (annotation, *get_args(annotation)))


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    """Yield the types of objects that an annotation names."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models(part)
