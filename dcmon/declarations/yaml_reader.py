"""Read YAML 1.2 with its places: plain `no`, `on`, `12:30` and `2026-03-01` are texts, keys are texts as written.

Refused: a key twice, tags but !!str, aliases that contain themselves, numbers that are not finite, and files that
become too large. Anchors, aliases and the merge key << work.
"""

import re
from collections.abc import Iterator
from typing import Any

import yaml

from dcmon.declarations.faults import Fault, Mark
from dcmon.declarations.yaml_nodes import Entry, Items, Node, Object, Scalar

MAX_BYTES = 16 * 1024 * 1024
MAX_VALUES = 500_000  # with those that aliases repeat; a file of 2,000 monitors has some 60,000
MAX_DEPTH = 50
MAX_DIGITS = 300
LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml's parser is twenty times as fast
STR_TAG = "tag:yaml.org,2002:str"
MERGE = "<<"

# The core schema of YAML 1.2.
TAB = "the line is indented with a tab; YAML needs blanks"
NULL = re.compile(r"null|Null|NULL|~|")
BOOL = re.compile(r"(?P<true>true|True|TRUE)|false|False|FALSE")
INT = re.compile(r"[-+]?\d+|0o[0-7]+|0x[0-9a-fA-F]+", re.ASCII)
FLOAT = re.compile(r"[-+]?(\.\d+|\d+(\.\d*)?)([eE][-+]?\d+)?", re.ASCII)
NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")


def is_text(plain: str) -> bool:
    """Return True if a plain scalar is a text, here and for readers of YAML 1.1."""
    patterns = (NULL, BOOL, INT, FLOAT, NOT_FINITE)
    return not any(pattern.fullmatch(plain) for pattern in patterns)


class Refused(Exception):
    """A fault after which a file is not read further."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(str(fault))
        self.fault = fault


def read(content: bytes, file: str) -> tuple[list[Node], list[Fault]]:
    """Return the documents of a file, without empty ones, and its faults."""
    reader = _Reader(file)
    try:
        reader.read(content)
    except Refused as refused:
        reader.faults.append(refused.fault)
    except yaml.MarkedYAMLError as error:
        at = error.problem_mark or error.context_mark
        mark = Mark(file, 1, 1) if at is None else Mark(file, at.line + 1, at.column + 1)
        reason = TAB if _is_after_tab(content, mark) else error.problem or error.context
        reader.faults.append(Fault(mark, f"This is not YAML: {reason}."))
    except yaml.YAMLError as error:  # a character that YAML can't have
        line = 1 + content[: int(getattr(error, "position", 0) or 0)].count(b"\n")
        reason = str(getattr(error, "reason", "") or error).splitlines()[0]
        reader.faults.append(Fault(Mark(file, line, 1), f"This is not YAML: {reason}."))
    return reader.documents, reader.faults


class _Reader:
    """Builds nodes from the events of a file."""

    def __init__(self, file: str) -> None:
        self.file, self.faults, self.documents = file, list[Fault](), list[Node]()
        self._events: Iterator[Any] = iter(())
        self._anchors: dict[str, Node | None] = {}  # None: the node is not finished
        self._size = 0

    def read(self, content: bytes) -> None:
        if len(content) > MAX_BYTES:
            raise Refused(Fault(Mark(self.file, 1, 1), f"The file has more than {MAX_BYTES:,} bytes."))
        try:
            text = content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = 1 + content[: error.start].count(b"\n")
            raise Refused(Fault(Mark(self.file, line, 1), "The file is not text in UTF-8.")) from error
        self._events = yaml.parse(text, Loader=LOADER)
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                self._anchors = {}
                node = self._node(next(self._events), 0)
                if not (isinstance(node, Scalar) and node.value is None):
                    self.documents.append(node)

    def _mark(self, event: Any) -> Mark:
        return Mark(self.file, event.start_mark.line + 1, event.start_mark.column + 1)

    def _fault(self, event: Any, message: str) -> None:
        self.faults.append(Fault(self._mark(event), message))

    def _node(self, event: Any, depth: int) -> Node:
        if depth > MAX_DEPTH:
            raise Refused(Fault(self._mark(event), f"The file has more than {MAX_DEPTH} levels."))
        if isinstance(event, yaml.AliasEvent):
            node = self._alias(event)
        else:
            if event.anchor is not None:
                self._anchors[event.anchor] = None
            node = self._own_node(event, depth)
            if event.anchor is not None:
                self._anchors[event.anchor] = node
        return node

    def _own_node(self, event: Any, depth: int) -> Node:
        if event.tag not in (None, "!", STR_TAG):
            self._fault(event, f"The tag {event.tag} can't be used: of all tags only !!str can.")
        if isinstance(event, yaml.ScalarEvent):
            self._count(event, 1)
            return Scalar(self._mark(event), 1, self._value(event))
        if isinstance(event, yaml.SequenceStartEvent):
            items = Items(self._mark(event))
            while not isinstance(inner := next(self._events), yaml.SequenceEndEvent):
                items.items.append(self._node(inner, depth + 1))
            items.size += sum(item.size for item in items.items)
            return items
        return self._object(event, depth)

    def _object(self, event: Any, depth: int) -> Object:
        result, merged = Object(self._mark(event)), list[Object]()
        while not isinstance(key := next(self._events), yaml.MappingEndEvent):
            name = self._key(key, depth)
            node = self._node(next(self._events), depth + 1)
            result.size += node.size
            if name == MERGE and key.implicit[0]:
                merged += self._merged(key, node)
            elif name in result.entries:
                first = result.entries[name].key_mark
                self._fault(key, f"The key {name!r} is here twice: it is in line {first.line} already.")
            elif name is not None:
                result.entries[name] = Entry(self._mark(key), node)
        for other in merged:
            for inherited, entry in other.entries.items():
                result.entries.setdefault(inherited, entry)
        return result

    def _key(self, event: Any, depth: int) -> str | None:
        if isinstance(event, yaml.ScalarEvent):
            self._count(event, 1)
            return str(event.value)
        self._fault(event, "A key must be a text.")
        self._node(event, depth + 1)
        return None

    def _merged(self, key: Any, node: Node) -> list[Object]:
        nodes = node.items if isinstance(node, Items) else [node]
        if not all(isinstance(inner, Object) for inner in nodes):
            self._fault(key, "<< takes an alias of an object, or a list of them, like '<<: *usual'.")
        return [inner for inner in nodes if isinstance(inner, Object)]

    def _alias(self, event: Any) -> Node:
        node = self._anchors.get(event.anchor)
        if node is None:
            problem = "contains itself" if event.anchor in self._anchors else "has no anchor before it"
            raise Refused(Fault(self._mark(event), f"The alias *{event.anchor} {problem}."))
        self._count(event, node.size)
        return node

    def _count(self, event: Any, size: int) -> None:
        self._size += size
        if self._size > MAX_VALUES:
            raise Refused(Fault(self._mark(event), f"The file has more than {MAX_VALUES:,} values."))

    def _value(self, event: Any) -> Any:
        text = str(event.value)
        if not event.implicit[0] or event.tag == STR_TAG:  # quoted, or !!str
            return text
        if NULL.fullmatch(text):
            return None
        if match := BOOL.fullmatch(text):
            return match["true"] is not None
        if NOT_FINITE.fullmatch(text) or (FLOAT.fullmatch(text) and not _is_finite(text)):
            self._fault(event, f"{text[:40]} is not a finite number. A text is in quotes.")
            return 0.0
        if len(text) > MAX_DIGITS and FLOAT.fullmatch(text):
            self._fault(event, f"The number {text[:20]}… has more than {MAX_DIGITS} digits. A text is in quotes.")
            return 0.0
        if INT.fullmatch(text):
            base = {"0o": 8, "0x": 16}.get(text[:2], 10)
            return int(text, base)
        return float(text) if FLOAT.fullmatch(text) else text


def _is_after_tab(content: bytes, mark: Mark) -> bool:
    lines = content.split(b"\n")[: mark.line]
    indentation = lines[-1][: len(lines[-1]) - len(lines[-1].lstrip())] if lines else b""
    return b"\t" in indentation


def _is_finite(text: str) -> bool:
    return abs(float(text)) != float("inf")
