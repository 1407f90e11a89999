"""The nodes of a YAML document, which know their places."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from dcmon.declarations.faults import Mark

Path = Sequence[str | int]


@dataclass
class Node:
    """A node. `size`: the number of values in it; a value that an alias repeats counts again."""

    mark: Mark
    size: int = 1


@dataclass
class Scalar(Node):
    """A text, a number, true, false or null."""

    value: Any = None


@dataclass
class Items(Node):
    """A list."""

    items: list[Node] = field(default_factory=list)


class Entry(NamedTuple):
    """The value of a key, and the place of the key."""

    key_mark: Mark
    node: Node


@dataclass
class Object(Node):
    """A mapping from texts to nodes."""

    entries: dict[str, Entry] = field(default_factory=dict)


def to_data(node: Node) -> Any:
    """Return the plain value of a node: a dict, list, text, number, bool or None."""
    if isinstance(node, Object):
        return {name: to_data(entry.node) for name, entry in node.entries.items()}
    if isinstance(node, Items):
        return [to_data(item) for item in node.items]
    return node.value if isinstance(node, Scalar) else None


def mark_at(root: Node, path: Path) -> Mark:
    """Return the place of what a path leads to: of the key, of the item of a list, or of the nearest node above it."""
    mark = root.mark
    node = root
    for step in path:
        if isinstance(node, Object) and step in node.entries:
            mark, node = node.entries[str(step)]
        elif isinstance(node, Items) and isinstance(step, int) and step < len(node.items):
            node = node.items[step]
            mark = node.mark
        else:
            break
    return mark


def objects(node: Node, name: str) -> Iterator[tuple[str, Entry]]:
    """Yield the named entries of a key of an object; nothing if it has no such key, or no object there."""
    entry: Mapping[str, Entry] = node.entries if isinstance(node, Object) else {}
    inner = entry[name].node if name in entry else None
    if isinstance(inner, Object):
        yield from inner.entries.items()
