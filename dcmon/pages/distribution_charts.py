"""Distributions side by side as SVG and tables, which need no script: they are printed and read aloud as they are."""

from collections.abc import Sequence
from typing import NamedTuple

from dcmon.formatting import count_of, format_number
from dcmon.pages.markup import NOTHING, Markup, details, element, joined, number, share, table
from dcmon.statistics.histograms import Distribution, Distributions

WIDTH, HEIGHT, FOOT = 320, 96, 16  # of a histogram, in units of its own; FOOT is for the numbers below it
BAR_WIDTH, BAR_HEIGHT = 120, 12  # of a bar in a table
TICKS = 3


class SideName(NamedTuple):
    """What a side is called, and the class of its bars: "", "before" or "now"."""

    text: str
    style: str = ""

    @property
    def short(self) -> str:
        """The name without the period."""
        return self.text.partition(":")[0]


def side_by_side(names: Sequence[SideName], compared: Distributions) -> Markup:
    """Return the distributions of a feature: histograms on one scale, or bars of categories."""
    if compared.is_numeric:
        return _histograms(names, compared)
    if compared.names:
        return _bars(names, compared)
    return table(["", *(name.text for name in names)], [["without a value", *_null_shares(compared)]])


def _histograms(names: Sequence[SideName], compared: Distributions) -> Markup:
    highest = max((share for side in compared.sides for share in side.shares), default=0.0)
    figures = joined(
        element("figure", element("figcaption", _caption(name, side)) + _histogram(name, side, compared.edges, highest))
        for name, side in zip(names, compared.sides, strict=True)
    )
    return element("div", figures, "sides") + details("The numbers", _bin_table(names, compared))


def _caption(name: SideName, side: Distribution) -> Markup:
    parts = [count_of(side.n, "row")]
    if side.mean is not None:
        parts.append(f"mean {format_number(side.mean)}")
    if side.null_share:
        parts.append(f"{100 * side.null_share:.3g} % without a value")
    return Markup("<b>{}</b>: {}").format(name.text, ", ".join(parts))


def _histogram(name: SideName, side: Distribution, edges: Sequence[float], highest: float) -> Markup:
    width = WIDTH / max(len(edges) - 1, 1)
    shown = [(place, part / highest * (HEIGHT - 4)) for place, part in enumerate(side.shares) if part]
    bars = "".join(  # as one path, which takes a fifth of the bytes of rectangles
        f"M{place * width + 0.5:.1f} {HEIGHT}v-{max(height, 0.8):.1f}h{max(width - 1, 0.5):.1f}V{HEIGHT}z"
        for place, height in shown
    )
    drawing = Markup('<path class="bar {}" d="{}"/><path class="axis" d="M0 {}H{}"/>').format(
        name.style, bars, HEIGHT, WIDTH
    )
    if not shown:
        drawing += Markup('<text class="none" x="{}" y="{}" text-anchor="middle">no value</text>').format(
            WIDTH / 2, HEIGHT / 2
        )
    return Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}">{}{}</svg>').format(
        WIDTH, HEIGHT + FOOT, f"Histogram, {name.text}", drawing, _ticks(edges)
    )


def _ticks(edges: Sequence[float]) -> Markup:
    anchors = ("start", "middle", "end")
    chosen_edges = [0, (len(edges) - 1) // 2, len(edges) - 1] if len(edges) > TICKS else [0, len(edges) - 1]
    chosen = anchors if len(chosen_edges) == TICKS else ("start", "end")
    return joined(
        Markup('<text x="{:.1f}" y="{}" text-anchor="{}">{}</text>').format(
            place / (len(edges) - 1) * WIDTH, HEIGHT + FOOT - 3, anchor, format_number(edges[place])
        )
        for place, anchor in zip(chosen_edges, chosen, strict=True)
    )


def _bin_table(names: Sequence[SideName], compared: Distributions) -> Markup:
    edges = [format_number(edge) for edge in compared.edges]
    rows = [
        [f"{edges[place]} to {edges[place + 1]}", *(share(side.shares[place]) for side in compared.sides)]
        for place in range(len(edges) - 1)
        if any(side.shares[place] for side in compared.sides)
    ]
    summary = [
        ["mean", *(number(side.mean) for side in compared.sides)],
        ["lowest", *(number(side.low) for side in compared.sides)],
        ["highest", *(number(side.high) for side in compared.sides)],
        ["without a value", *_null_shares(compared)],
    ]
    return table(["", *(name.text for name in names)], [*summary, *rows], "Shares of rows")


def _bars(names: Sequence[SideName], compared: Distributions) -> Markup:
    highest = max((part for side in compared.sides for part in side.shares), default=0.0) or 1.0
    rows: list[list[object]] = [
        [name, *(_bar(side_name, side.shares[place], highest) for side_name, side in _pairs(names, compared))]
        for place, name in enumerate(compared.names)
    ]
    if any(side.null_share for side in compared.sides):
        rows.append(["without a value", *_null_shares(compared)])
    others = f"{count_of(compared.n_others, 'further value')} left out" if compared.n_others else ""
    heads = ["", *(f"{name.text} ({count_of(side.n, 'row')})" for name, side in _pairs(names, compared))]
    return table(heads, rows, "Shares of rows", stacks=True, short=[name.short for name in names]) + (
        element("p", others, "note") if others else NOTHING
    )


def _pairs(names: Sequence[SideName], compared: Distributions) -> list[tuple[SideName, Distribution]]:
    return list(zip(names, compared.sides, strict=True))


def _bar(name: SideName, part: float, highest: float) -> Markup:
    bar = Markup(
        '<svg viewBox="0 0 {} {}" aria-hidden="true"><rect class="bar {}" width="{:.1f}" height="{}"/></svg> '
    ).format(BAR_WIDTH, BAR_HEIGHT, name.style, part / highest * BAR_WIDTH, BAR_HEIGHT)
    return bar + share(part)


def _null_shares(compared: Distributions) -> list[Markup]:
    return [share(side.null_share) for side in compared.sides]
