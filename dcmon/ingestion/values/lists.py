"""Lists of numbers, and probabilities of classes."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from dcmon.ingestion.rejected_row import RejectionReason
from dcmon.ingestion.values import numbers
from dcmon.ingestion.values.refusal import ValueRefused, shown
from dcmon.ingestion.values.rules import ValueRules
from dcmon.storage import categories

# A list as pandas writes an array of NumPy ([0.2 0.8]), and as PostgreSQL writes one ({0.2,0.8}).
_OTHER_LIST = re.compile(r"\[([^\[\],]+)\]|\{([^{}]*)\}")
MAX_SHOWN_CLASSES = 10
_DIGITS = 15  # of 1 - p: 0.2 for 0.8, not 0.19999999999999996


def list_of_numbers(value: Any, rules: ValueRules) -> list[float]:
    """Return a list of numbers. Raises ValueRefused."""
    items = _items(value)
    if items is None:
        raise ValueRefused("a list of numbers")
    if set(map(type, items)) == {float} and math.isfinite(sum(items)):  # an embedding, at a tenth of the cost
        return items
    return [_number(item, rules) for item in items]


def list_of_lists(value: Any, rules: ValueRules) -> list[list[float]]:
    """Return a list of lists of numbers. Raises ValueRefused."""
    items = _items(value)
    if items is None or not all(isinstance(item, list | tuple) for item in items):
        raise ValueRefused("a list of lists of numbers")
    return [[_number(number, rules) for number in item] for item in items]


def probabilities(value: Any, rules: ValueRules, length: int, classes: Sequence[str] = ()) -> list[float]:
    """Return the probabilities of all classes, in their order. They may be sent by name.

    Of two classes, a single probability is that of the second class. Raises ValueRefused.
    """
    if classes and (by_name := _object(value)) is not None:
        return _in_order(by_name, rules, classes)
    single = value
    if (items := _items(value)) is not None:
        result = [_number(item, rules) for item in items]
        if len(result) == length:
            return result
        if length != 2 or len(result) != 1:
            hint = " For two classes, the probability of the second one alone is enough." if length == 2 else ""
            expected = f"{length} probabilities, one for each class in alphabetical order"
            raise ValueRefused(expected, f"These are {len(result)}.{hint}", RejectionReason.WRONG_LENGTH)
        single = result[0]
    if length != 2:
        raise ValueRefused(f"a list of {length} probabilities, one for each class in alphabetical order")
    try:
        second = numbers.number(single, rules)
    except ValueRefused as refused:
        expected = "a list of 2 probabilities, or the probability of the second class"
        raise ValueRefused(expected, file_hint=refused.file_hint) from refused
    if second is None or isinstance(single, bool) or not 0 <= second <= 1:
        raise ValueRefused("a probability from 0 to 1", "Send percent as 0.8, or as [20, 80].")
    return [round(1 - float(second), _DIGITS), float(second)]


def _in_order(by_name: Mapping[str, Any], rules: ValueRules, classes: Sequence[str]) -> list[float]:
    names = categories.class_names(classes)
    by_class = {names.get(name, names.get(categories.normalize(name))): value for name, value in by_name.items()}
    if by_class.keys() != set(classes) or len(by_name) != len(classes):
        raise ValueRefused(f"a probability for each class: {', '.join(classes[:MAX_SHOWN_CLASSES])}")
    return [_number(by_class[name], rules) for name in classes]


def _object(value: Any) -> Mapping[str, Any] | None:
    """Return a JSON object, which may be text; None if it is none."""
    if isinstance(value, str) and value.lstrip().startswith("{"):
        try:
            value = msgspec.json.decode(value)
        except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
            return None  # {0.2,0.8}, as PostgreSQL writes a list
    return value if isinstance(value, dict) else None


def _items(value: Any) -> list[Any] | None:
    """Return the items of a list, which may be text; None if it is no list."""
    if isinstance(value, list | tuple):
        return list(value)
    if not isinstance(value, str):
        return None
    try:
        parsed = msgspec.json.decode(value)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        match = _OTHER_LIST.fullmatch(value.strip())
        if match is None:
            return None
        return match[1].split() if match[1] is not None else [item for item in match[2].split(",") if item.strip()]
    return parsed if isinstance(parsed, list) else None


def _number(item: Any, rules: ValueRules) -> float:
    try:
        number = None if isinstance(item, bool) else numbers.number(item, rules)
    except ValueRefused as refused:
        raise ValueRefused("a list of numbers", f"It has {shown(item)} in it.", refused.reason) from refused
    if number is None:
        raise ValueRefused("a list of numbers", f"It has {shown(item)} in it.")
    return float(number)
