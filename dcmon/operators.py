"""Comparison operators of rules and filters, their signs, and the comparisons that they stand for."""

import operator
from collections.abc import Callable, Mapping
from enum import StrEnum


class Operator(StrEnum):
    """How a rule compares a number with its threshold or range, or a filter a column with a value."""

    GREATER_THAN = "greater_than"
    GREATER_THAN_EQUALS = "greater_than_equals"
    LESS_THAN = "less_than"
    LESS_THAN_EQUALS = "less_than_equals"
    EQUALS = "equals"
    NOT_EQUALS = "not_equals"
    OUTSIDE = "outside"
    INSIDE = "inside"


OPERATOR_OF_SIGN = {
    ">": Operator.GREATER_THAN,
    ">=": Operator.GREATER_THAN_EQUALS,
    "<": Operator.LESS_THAN,
    "<=": Operator.LESS_THAN_EQUALS,
    "==": Operator.EQUALS,
    "=": Operator.EQUALS,
    "!=": Operator.NOT_EQUALS,
}
SIGN_OF_OPERATOR: dict[str, str] = {name: sign for sign, name in OPERATOR_OF_SIGN.items() if sign != "="}
COMPARISONS: Mapping[str, Callable[[float, float], bool]] = {
    Operator.GREATER_THAN: operator.gt,
    Operator.GREATER_THAN_EQUALS: operator.ge,
    Operator.LESS_THAN: operator.lt,
    Operator.LESS_THAN_EQUALS: operator.le,
    Operator.EQUALS: operator.eq,
    Operator.NOT_EQUALS: operator.ne,
}
UPPER_BOUNDS = (Operator.GREATER_THAN, Operator.GREATER_THAN_EQUALS)  # larger numbers violate the condition
LOWER_BOUNDS = (Operator.LESS_THAN, Operator.LESS_THAN_EQUALS)  # smaller numbers violate the condition
RANGES = (Operator.OUTSIDE, Operator.INSIDE)  # operators that compare with a range
