"""Histograms side by side: values beyond the bins have a bar of their own, with their limit and share in words."""

import numpy as np

from dcmon.pages.distribution_charts import SideName, side_by_side
from dcmon.statistics.columns import NumericColumn
from dcmon.statistics.histograms import Side, compare

NAMES = [SideName("Reference"), SideName("Now: 3 March", "now")]


def drawn(*sides: list[float]) -> str:
    return str(side_by_side(NAMES, compare([Side(NumericColumn(np.array(values)), len(values)) for values in sides])))


def test_values_beyond_the_bins_are_named_with_their_share() -> None:
    reference = [float(number) for number in range(100)]
    html = drawn(reference, [-50_000.0] * 10 + reference[:80] + [1e6] * 10)

    assert html.count("below 0: 10 %") == html.count("above 100: 10 %") == 1
    assert html.count('class="bar beyond now"') == 2
    assert "<td>below 0</td>" in html or ">below 0<" in html


def test_ordinary_column_has_no_bar_beyond_its_bins() -> None:
    assert "beyond" not in drawn([1.0, 2.0, 3.0], [2.0, 2.5])
