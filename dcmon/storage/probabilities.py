"""Probabilities that were sent as percent: converted where that is certain."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# [20, 80] is percent. The largest one must be more than a probability can be: the scores of 100 classes that are not
# normalized may add up to 100 too.
PERCENT, TOLERANCE, LEAST = 100, 1, 1.5
Probabilities = Sequence[float]


def share(probabilities: Probabilities) -> Probabilities:
    """Return the probabilities of one row; percent is divided by 100."""
    if not probabilities or max(probabilities) <= LEAST or min(probabilities) < 0:
        return probabilities
    is_percent = abs(sum(probabilities) - PERCENT) <= TOLERANCE
    return [value / PERCENT for value in probabilities] if is_percent else probabilities


def shares(vectors: "NDArray[np.float64]") -> "NDArray[np.float64]":
    """Return the probabilities of many rows, shape (rows, classes); the rows that are percent are divided by 100."""
    import numpy as np  # here, because a command that creates a model starts without it

    if not vectors.size or vectors.max() <= LEAST:  # nearly always
        return vectors
    is_percent = np.abs(vectors.sum(axis=1) - PERCENT) <= TOLERANCE
    is_percent &= (vectors.min(axis=1) >= 0) & (vectors.max(axis=1) > LEAST)
    return np.where(is_percent[:, None], vectors / PERCENT, vectors)
