"""Numbers of each feature of a window: drift, nulls, new categories, mixed nulls, mismatched spellings.

Each function returns a number for each feature that it reads, in the order of `features`. The definitions are those of
the checks of deepchecks 0.19 with the same names.
"""

import math
import re
from collections.abc import Iterable, Sequence

from dcmon.statistics import drift
from dcmon.statistics.columns import CountedColumn, NumericColumn, Rows, UnreadColumn
from dcmon.statistics.drift import DriftParameters
from dcmon.statistics.errors import InvalidParameter, TooFewValues, Undefined

Values = dict[str, float | None]

# The words that deepchecks takes for null, in base form (deepchecks.utils.strings).
NULL_WORDS = frozenset({"none", "null", "nan", "na", "", "\x00", "\x00\x00"})
# The texts that pandas.to_numeric reads as a number: an integer of at most 64 bits, a finite float, or one of these.
_INTEGER = re.compile(r"\s*[+-]?\d+\s*\Z", re.ASCII)
_FLOAT = re.compile(r"\s*[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?\s*\Z", re.IGNORECASE | re.ASCII)
_OTHER_NUMBER = re.compile(r"(?:[+-]?inf(?:inity)?|)\Z", re.IGNORECASE)


def drifts(current: Rows, compared: Rows, features: Iterable[str], parameters: DriftParameters) -> Values:
    """Return the drift of each numeric or categorical feature (FeatureDrift); None for one with too few values.

    Raises TooFewValues, or Undefined, if that is so for all features.
    """
    values: Values = {}
    undefined: str | None = None  # the first reason: a kept exception would keep the rows, by its traceback
    for feature in features:
        before, now = compared.features[feature], current.features[feature]
        if isinstance(before, UnreadColumn) or isinstance(now, UnreadColumn):
            continue
        try:
            values[feature] = drift.column_drift(before, now, parameters)
        except TooFewValues:
            values[feature] = None
        except Undefined as error:
            values[feature] = None
            undefined = undefined or str(error)
    if all(value is None for value in values.values()):
        if undefined is not None:
            raise Undefined(undefined)
        raise TooFewValues(f"No feature has {parameters.n_needed:,} values on both sides.")
    return values


def null_shares(current: Rows, features: Iterable[str]) -> Values:
    """Return the share of nulls among the rows of each feature (PercentOfNulls): 0 to 1."""
    return {feature: current.features[feature].n_null / current.n for feature in features}


def new_category_shares(current: Rows, compared: Rows, features: Iterable[str]) -> Values:
    """Return the share of rows in categories that `compared` does not have (NewCategoryTrainTest): 0 to 1.

    Only of categorical features. A null is no category.
    """
    values: Values = {}
    for feature in features:
        known, column = compared.features[feature], current.features[feature]
        assert isinstance(known, CountedColumn)
        assert isinstance(column, CountedColumn)
        new = sum(n for category, n in column.counts.items() if category not in known.counts)
        values[feature] = new / current.n
    return values


def mixed_null_shares(current: Rows, features: Iterable[str], null_words: Sequence[str] | None = None) -> Values:
    """Return the share of nulls in each feature that spells null in more than one way (MixedNulls): 0 to 1.

    `null_words`: the words that stand for null, in base form; None: those of the library. 0 for a feature with one
    spelling. Raises InvalidParameter.
    """
    words = _validated(null_words)
    values: Values = {}
    for feature in features:
        column = current.features[feature]
        spellings = [] if isinstance(column, NumericColumn | UnreadColumn) else _null_spellings(column, words)
        if column.n_null:
            spellings.append(column.n_null)
        values[feature] = sum(spellings) / current.n if len(spellings) > 1 else 0.0
    return values


def _validated(null_words: Sequence[str] | None) -> frozenset[str]:
    if not null_words:
        return NULL_WORDS
    if not all(isinstance(word, str) for word in null_words):
        raise InvalidParameter("null_string_list is a list of texts.")
    return frozenset(null_words)


def _null_spellings(column: CountedColumn, words: frozenset[str]) -> list[int]:
    return [n for value, n in column.counts.items() if isinstance(value, str) and base_form(value) in words]


def mismatched_shares(current: Rows, features: Iterable[str]) -> Values:
    """Return the share of rows whose value has another spelling in the same feature (StringMismatch): 0 to 1.

    Two values are spellings of one if their base forms are equal. Only of features with texts that are not all numbers.
    """
    values: Values = {}
    for feature in features:
        column = current.features[feature]
        if not isinstance(column, CountedColumn) or not _has_words(column):
            continue
        values[feature] = _n_mismatched(column) / current.n
    return values


def _has_words(column: CountedColumn) -> bool:
    return any(isinstance(value, str) and not _is_number(value) for value in column.counts)


def _is_number(text: str) -> bool:
    if _INTEGER.match(text):
        return -(2**63) <= int(text) < 2**64
    if _FLOAT.match(text):
        return math.isfinite(float(text))
    return bool(_OTHER_NUMBER.match(text))


def _n_mismatched(column: CountedColumn) -> int:
    variants: dict[str, list[int]] = {}
    for value, n in column.counts.items():
        variants.setdefault(base_form(str(value)), []).append(n)
    return sum(sum(numbers) for numbers in variants.values() if len(numbers) > 1)


def base_form(text: str) -> str:
    """Return the letters and digits of a text in lower case; the text itself if it has none."""
    letters = text if text.isalnum() else "".join(filter(str.isalnum, text))
    return letters.lower() or text
