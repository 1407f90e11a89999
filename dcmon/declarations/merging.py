"""Merge the documents of several files: each object is declared once, and sections are put together."""

from collections.abc import Sequence

from dcmon.declarations.faults import Fault
from dcmon.declarations.yaml_nodes import Entry, Items, Node, Object

# Objects whose keys several documents may have: the document, sections by name, a model and its sections.
_SECTIONS = ("models", "receivers", "mute_times")
_OF_MODEL = ("versions", "checks", "monitors")


def merge(roots: Sequence[Node]) -> tuple[Object, list[Fault]]:
    """Return one document, and the objects and keys that two documents declare."""
    collected = list[Fault]()
    merged = Object(roots[0].mark)
    for root in roots:
        if isinstance(root, Object):
            _add(merged, root, (), collected)
    return merged, collected


def _is_shared(path: tuple[str, ...]) -> bool:
    """Return True if the keys of the object with this path may be in several documents."""
    match path:
        case () | ("organization",) | ("models", _):
            return True
        case (section,):
            return section in _SECTIONS
        case ("models", _, section):
            return section in _OF_MODEL
    return False


def _add(target: Object, source: Object, path: tuple[str, ...], collected: list[Fault]) -> None:
    for name, (mark, node) in source.entries.items():
        inner = (*path, name)
        if name not in target.entries:
            target.entries[name] = Entry(mark, _copy(node, inner))
            continue
        present = target.entries[name]
        if inner == ("format",):
            continue
        if isinstance(node, Object) and isinstance(present.node, Object) and _is_shared(inner):
            _add(present.node, node, inner, collected)
        elif inner == ("silences",) and isinstance(node, Items) and isinstance(present.node, Items):
            present.node.items += node.items
        else:
            collected.append(
                Fault(mark, f"{' / '.join(inner)} is declared twice: it is in {present.key_mark} already.")
            )


def _copy(node: Node, path: tuple[str, ...]) -> Node:
    """Return a node that others can be merged into: a part of an anchor may be in several others."""
    if isinstance(node, Items):
        return Items(node.mark, node.size, list(node.items))
    if not isinstance(node, Object) or not _is_shared(path):
        return node
    entries = {name: Entry(mark, _copy(inner, (*path, name))) for name, (mark, inner) in node.entries.items()}
    return Object(node.mark, node.size, entries)
