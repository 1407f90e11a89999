"""Find the stored rule that each declared rule of a monitor means: rules need no name."""

from collections.abc import Callable, Sequence
from typing import Any

from dcmon.declarations.declared_monitors import RuleDeclaration


def match(stored: Sequence[RuleDeclaration], declared: Sequence[RuleDeclaration]) -> list[int | None]:
    """Return for each declared rule the number of the stored rule that becomes it; None: it is a new one.

    Rules with the same name are the same; then, among those whose names do not say otherwise, rules that are equal,
    that have the same condition, or that have the same severity if it is the only one on both sides.
    """
    matches: list[int | None] = [None] * len(declared)
    free = list(range(len(stored)))
    _pair(stored, declared, matches, free, lambda rule: rule.name)
    _pair(stored, declared, matches, free, lambda rule: repr({**rule.values(), "name": None}), ignores_names=True)
    _pair(stored, declared, matches, free, lambda rule: rule.values()["condition"], ignores_names=True)
    left = [number for number, matched in enumerate(matches) if matched is None]
    if len(left) == len(free) == 1 and _may_be_same(stored[free[0]], declared[left[0]]):
        matches[left[0]] = free.pop()
    elif all(_is_only(side, number) for side, numbers in ((stored, free), (declared, left)) for number in numbers):
        _pair(stored, declared, matches, free, lambda rule: rule.severity, ignores_names=True)
    return matches


def _is_only(rules: Sequence[RuleDeclaration], number: int) -> bool:
    return sum(rule.severity == rules[number].severity for rule in rules) == 1


def _may_be_same(stored: RuleDeclaration, declared: RuleDeclaration) -> bool:
    return stored.name is None or declared.name is None or stored.name == declared.name


def _pair(
    stored: Sequence[RuleDeclaration],
    declared: Sequence[RuleDeclaration],
    matches: list[int | None],
    free: list[int],
    mark: Callable[[RuleDeclaration], Any],
    *,
    ignores_names: bool = False,
) -> None:
    for number, rule in enumerate(declared):
        if matches[number] is not None or mark(rule) is None:
            continue
        for candidate in free:
            is_match = mark(stored[candidate]) == mark(rule)
            if is_match and (not ignores_names or _may_be_same(stored[candidate], rule)):
                matches[number] = candidate
                free.remove(candidate)
                break
