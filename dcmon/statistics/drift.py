"""How far a column of a window is from the same column of the rows that it is compared with."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dcmon.statistics import categorical_drift, numeric_drift
from dcmon.statistics.categorical_drift import CategoryOrder, CategoryRules
from dcmon.statistics.columns import CountedColumn, Counts, Numbers, NumericColumn
from dcmon.statistics.errors import InvalidParameter, TooFewValues

ORDERS: Mapping[str, CategoryOrder] = {
    "largest_difference": CategoryOrder.DIFFERENCE,
    "train_largest": CategoryOrder.FIRST,
}
NUMERIC_METHODS = ("EMD", "KS")
CATEGORICAL_METHODS = ("cramers_v", "PSI")


@dataclass(frozen=True)
class DriftParameters:
    """The parameters of the library's drift checks, with its defaults and names."""

    numerical_drift_method: str = "KS"
    categorical_drift_method: str = "cramers_v"
    margin_quantile_filter: float = 0.025
    max_num_categories_for_drift: int | None = None
    min_category_size_ratio: float = 0.01
    show_categories_by: str = "largest_difference"
    ignore_na: bool = True
    min_samples: int = 10
    balance_classes: bool = False

    @classmethod
    def from_params(cls, params: Mapping[str, Any]) -> "DriftParameters":
        """Take the parameters of a check that concern drift."""
        return cls(**{name: params[name] for name in cls.__dataclass_fields__ if name in params})

    @property
    def n_needed(self) -> int:
        """How many values each side needs: at least one."""
        return max(1, self.min_samples)

    @property
    def category_rules(self) -> CategoryRules:
        """Which categories are counted together."""
        order = ORDERS.get(self.show_categories_by, CategoryOrder.SECOND)
        return CategoryRules(self.min_category_size_ratio, self.max_num_categories_for_drift, order)


def column_drift(
    compared: NumericColumn | CountedColumn, current: NumericColumn | CountedColumn, parameters: DriftParameters
) -> float:
    """Return the drift of a feature from `compared` to `current`.

    Raises TooFewValues and InvalidParameter.
    """
    if isinstance(compared, NumericColumn) and isinstance(current, NumericColumn):
        return numeric(compared.sorted, current.sorted, parameters)
    assert isinstance(compared, CountedColumn)
    assert isinstance(current, CountedColumn)
    if parameters.ignore_na is False:
        return categorical(compared.counts_with_null, current.counts_with_null, parameters)
    return categorical(compared.counts, current.counts, parameters)


def numeric(compared: Numbers, current: Numbers, parameters: DriftParameters) -> float:
    """Return the drift of numbers, both sides sorted and without NaN.

    Raises TooFewValues and InvalidParameter.
    """
    _require_values(len(compared), len(current), parameters)
    method = parameters.numerical_drift_method.lower()
    if method == "emd":
        return numeric_drift.earth_movers_distance(compared, current, parameters.margin_quantile_filter)
    if method in ("ks", "kolmogorov-smirnov"):
        return numeric_drift.kolmogorov_smirnov(compared, current)
    raise _unknown("numerical_drift_method", parameters.numerical_drift_method, NUMERIC_METHODS)


def categorical(compared: Counts, current: Counts, parameters: DriftParameters) -> float:
    """Return the drift of categories, from the counts of both sides.

    Raises TooFewValues, InvalidParameter and Undefined.
    """
    _require_values(sum(compared.values()), sum(current.values()), parameters)
    method, balance = parameters.categorical_drift_method.lower(), parameters.balance_classes is True
    if method in ("cramer_v", "cramers_v"):
        return categorical_drift.cramers_v(compared, current, parameters.category_rules, balance=balance)
    if balance:
        raise InvalidParameter('balance_classes needs the categorical_drift_method "cramers_v".')
    if method == "psi":
        return categorical_drift.population_stability_index(compared, current, parameters.category_rules)
    raise _unknown("categorical_drift_method", parameters.categorical_drift_method, CATEGORICAL_METHODS)


def _require_values(n_compared: int, n_current: int, parameters: DriftParameters) -> None:
    share = parameters.min_category_size_ratio
    if not 0 <= share <= 1:
        raise InvalidParameter(f"min_category_size_ratio is a number from 0 to 1, not {share!r}.")
    if min(n_compared, n_current) < parameters.n_needed:
        raise TooFewValues(f"A side has fewer than {parameters.n_needed:,} values.")


def _unknown(name: str, value: object, known: tuple[str, ...]) -> InvalidParameter:
    return InvalidParameter(f"There is no {name} {value!r}. Use {' or '.join(known)}.")
