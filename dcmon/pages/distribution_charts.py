"""Distributions side by side as SVG and tables, which need no script: they are printed and read aloud as they are."""

from collections.abc import Sequence
from typing import NamedTuple

from dcmon.formatting import count_of, format_number
from dcmon.pages.markup import NOTHING, Markup, details, element, joined, number, share, table
from dcmon.statistics.histograms import Distribution, Distributions

WIDTH, HEIGHT, FOOT = 320, 96, 16  # of a histogram, in units of its own; FOOT is for the numbers below it
BAR_WIDTH, BAR_HEIGHT = 120, 12  # of a bar in a table
TICKS = 3
BEYOND_WIDTH, BEYOND_GAP, BEYOND_FOOT = 26, 8, 14  # of the bar of values beyond the bins; the line of text about it


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
    scale = _Scale.of(compared)
    figures = joined(
        element("figure", element("figcaption", _caption(name, side)) + _histogram(name, side, scale))
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


class _Scale(NamedTuple):
    """What the histograms of all sides share. `left`, `right`: where the bins begin and end in the drawing."""

    edges: Sequence[float]
    highest: float
    left: float
    right: float

    @classmethod
    def of(cls, compared: Distributions) -> "_Scale":
        """Return the scale; values beyond the bins have a bar of their own, apart from the bins."""
        beyond = BEYOND_WIDTH + BEYOND_GAP
        left = beyond if any(side.below for side in compared.sides) else 0
        right = WIDTH - (beyond if any(side.above for side in compared.sides) else 0)
        highest = max((part for side in compared.sides for part in side.shares), default=0.0)
        return cls(compared.edges, highest, left, right)

    @property
    def has_beyond(self) -> bool:
        return self.left > 0 or self.right < WIDTH

    def bar(self, start: float, width: float, part: float) -> str:
        """Return a bar as a part of a path, which takes a fifth of the bytes of rectangles; one too high is cut."""
        height = min(part / self.highest, 1.0) * (HEIGHT - 4) if self.highest else HEIGHT - 4
        return f"M{start + 0.5:.1f} {HEIGHT}v-{max(height, 0.8):.1f}h{max(width - 1, 0.5):.1f}V{HEIGHT}z"


def _histogram(name: SideName, side: Distribution, scale: _Scale) -> Markup:
    width = (scale.right - scale.left) / max(len(scale.edges) - 1, 1)
    bars = [scale.bar(scale.left + place * width, width, part) for place, part in enumerate(side.shares) if part]
    drawing = Markup('<path class="bar {}" d="{}"/><path class="axis" d="M{} {}H{}"/>').format(
        name.style, "".join(bars), scale.left, HEIGHT, scale.right
    )
    drawing += _beyond(name, side, scale)
    if not bars and not side.below and not side.above:
        drawing += Markup('<text class="none" x="{}" y="{}" text-anchor="middle">no value</text>').format(
            WIDTH / 2, HEIGHT / 2
        )
    height = HEIGHT + FOOT + (BEYOND_FOOT if scale.has_beyond else 0)
    return Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}">{}{}</svg>').format(
        WIDTH, height, f"Histogram, {name.text}", drawing, _ticks(scale)
    )


def _beyond(name: SideName, side: Distribution, scale: _Scale) -> Markup:
    """Return the values beyond the bins: a bar at either end, with its limit and its share in words below."""
    ends = (
        ("below", scale.edges[0], side.below, 0.0, "start"),
        ("above", scale.edges[-1], side.above, WIDTH - BEYOND_WIDTH, "end"),
    )
    return joined(
        Markup('<path class="bar beyond {}" d="{}"/><text x="{}" y="{}" text-anchor="{}">{}</text>').format(
            name.style, scale.bar(start, BEYOND_WIDTH, part), 0 if anchor == "start" else WIDTH,
            HEIGHT + FOOT + BEYOND_FOOT - 3, anchor, f"{_limit(word, edge)}: {100 * part:.3g} %",
        )
        for word, edge, part, start, anchor in ends
        if part
    )  # fmt: skip


def _limit(word: str, edge: float) -> str:
    return f"{word} {format_number(edge)}"


def _ticks(scale: _Scale) -> Markup:
    edges, n_bins = scale.edges, len(scale.edges) - 1
    middle = [(n_bins // 2, "middle")] if len(edges) > TICKS else []
    chosen = [(0, "start"), *middle, (n_bins, "end")]
    return joined(
        Markup('<text x="{:.1f}" y="{}" text-anchor="{}">{}</text>').format(
            scale.left + place / n_bins * (scale.right - scale.left),
            HEIGHT + FOOT - 3,
            anchor,
            format_number(edges[place]),
        )
        for place, anchor in chosen
    )


def _bin_table(names: Sequence[SideName], compared: Distributions) -> Markup:
    edges = [format_number(edge) for edge in compared.edges]
    rows = [
        [f"{edges[place]} to {edges[place + 1]}", *(share(side.shares[place]) for side in compared.sides)]
        for place in range(len(edges) - 1)
        if any(side.shares[place] for side in compared.sides)
    ]
    beyond = [
        [_limit(word, edge), *map(share, parts)]
        for word, edge, parts in (
            ("below", compared.edges[0], [side.below for side in compared.sides]),
            ("above", compared.edges[-1], [side.above for side in compared.sides]),
        )
        if any(parts)
    ]
    summary = [
        ["mean", *(number(side.mean) for side in compared.sides)],
        ["lowest", *(number(side.low) for side in compared.sides)],
        ["highest", *(number(side.high) for side in compared.sides)],
        ["without a value", *_null_shares(compared)],
    ]
    return table(["", *(name.text for name in names)], [*summary, *rows, *beyond], "Shares of rows")


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
