"""Isotonic regression: the rising curve that is nearest to observed shares."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]

# Scores that are nearer to each other count as one point (scikit-learn's IsotonicRegression).
_RESOLUTION = 1e-15
_MIN_SHRINKAGE = 0.05


class IsotonicCurve(NamedTuple):
    """A rising curve through points, straight between them and constant beyond the first and the last one.

    `scores`, `shares`: shape (points,), both ascending.
    """

    scores: Numbers
    shares: Numbers

    def __call__(self, scores: Numbers) -> Numbers:
        """Return the share of each score: shape (rows,)."""
        order = np.argsort(scores)
        shares = np.empty(len(scores))
        # Ten times as quick for sorted scores: numpy looks near the previous one first.
        shares[order] = np.interp(scores[order], self.scores, self.shares)
        return shares


def fit_curve(scores: Numbers, is_positive: NDArray[np.bool_]) -> IsotonicCurve:
    """Fit the rising curve with the least squares: the share of positive rows by score.

    Pool adjacent violators (Ayer et al. 1955; de Leeuw, Hornik and Mair 2009): points whose shares do not rise are
    pooled until all rise; rows of one score are one point. `scores`, `is_positive`: shape (rows,), at least one.
    """
    points, index, n = _points(scores)
    positive = np.bincount(index, weights=is_positive, minlength=len(points))
    sums, sizes, lengths = _pooled(positive.astype(np.float64), n.astype(np.float64))
    last = np.cumsum(lengths) - 1
    first = last - lengths + 1
    ends = np.unique(np.concatenate((first, last)))
    return IsotonicCurve(points[ends], np.repeat(sums / sizes, lengths)[ends])


def _points(scores: Numbers) -> tuple[Numbers, NDArray[np.intp], NDArray[np.intp]]:
    """Return the distinct scores, the position of each row's score among them, and the number of rows of each."""
    points, index, n = np.unique(scores, return_inverse=True, return_counts=True)
    if len(points) == 1 or np.diff(points).min() >= _RESOLUTION:
        return points, index, n
    group, start = np.zeros(len(points), dtype=np.intp), points[0]
    for position, point in enumerate(points[1:].tolist(), 1):
        is_new = point - start >= _RESOLUTION
        group[position] = group[position - 1] + is_new
        start = point if is_new else start
    firsts = np.flatnonzero(np.diff(group, prepend=-1))
    return points[firsts], group[index], np.bincount(group, weights=n).astype(np.intp)


def _pooled(sums: Numbers, n: Numbers) -> tuple[Numbers, Numbers, NDArray[np.intp]]:
    """Return the sum, the number of rows and the number of points of each block whose means rise.

    All runs of blocks that do not rise are pooled at once while that removes many of them, the rest one by one: both
    orders give the same blocks.
    """
    lengths = np.ones(len(sums), dtype=np.intp)
    while len(sums) > 1:
        starts = np.flatnonzero(np.append(True, sums[1:] * n[:-1] > sums[:-1] * n[1:]))
        is_done, is_slow = len(starts) == len(sums), len(starts) > (1 - _MIN_SHRINKAGE) * len(sums)
        if is_done:
            break
        sums, n, lengths = (np.add.reduceat(values, starts) for values in (sums, n, lengths))
        if is_slow:
            return _pooled_one_by_one(sums, n, lengths)
    return sums, n, lengths


def _pooled_one_by_one(
    sums: Numbers, n: Numbers, lengths: NDArray[np.intp]
) -> tuple[Numbers, Numbers, NDArray[np.intp]]:
    blocks: list[tuple[float, float, int]] = []
    for total, rows, points in zip(sums.tolist(), n.tolist(), lengths.tolist(), strict=True):
        while blocks and blocks[-1][0] * rows >= total * blocks[-1][1]:
            pooled = blocks.pop()
            total, rows, points = total + pooled[0], rows + pooled[1], points + pooled[2]
        blocks.append((total, rows, points))
    columns = zip(*blocks, strict=True)
    pooled_sums, pooled_n, pooled_lengths = (np.array(list(column)) for column in columns)
    return pooled_sums, pooled_n, pooled_lengths
