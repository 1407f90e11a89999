"""What a rule does when nothing changes, in sentences."""

from typing import TYPE_CHECKING, Any, NamedTuple

from dcmon.output import Lines

if TYPE_CHECKING:
    from dcmon.monitoring.rule_noise import RuleNoise

TITLE = "On noise, if nothing changes"
FEW_WINDOWS = 200  # with fewer the interval is wide
STEPS = {"hour": "every hour", "day": "every day", "week": "every week", "month": "every month"}


class NoiseTexts(NamedTuple):
    """The numbers as data, the lines to show, and the warning if the rule alerts too much."""

    data: dict[str, Any]
    lines: Lines
    warnings: list[str]


def texts(noise: "RuleNoise | str", rule_id: int | None = None) -> NoiseTexts:
    """Say what a rule does on noise, or why that is unknown. `rule_id`: of a stored rule, for commands to type."""
    if isinstance(noise, str):
        return NoiseTexts({"reason": noise}, Lines([f"Unknown: {noise}"], TITLE), [])
    return texts_of(noise.row(), rule_id)


def texts_of(row: dict[str, Any], rule_id: int | None) -> NoiseTexts:
    """Say what a rule does on noise, from its numbers."""
    lines = [_alerts_line(row), _drawn_line(row), *_looks_at_line(row), *_without_verdict_line(row)]
    return NoiseTexts(row, Lines(lines, TITLE), [_warning(row, rule_id)] if row["is_too_much"] else [])


def _alerts_line(row: dict[str, Any]) -> str:
    if row["without_verdict"] == row["windows"]:
        return "No alert, because no window has a verdict."
    low, high = map(_short, row["interval"])
    if not row["violated_windows_per_year"]:
        return f"No violated window: fewer than {high} alerts a month (95 %), with a window {STEPS[row['frequency']]}."
    alerts, violated = _short(row["alerts_per_30_days"]), _short(row["violated_windows_per_year"])
    return (
        f"{alerts} alerts a month (95 % interval: {low} to {high}) and {violated} violated windows a year, with a"
        f" window {STEPS[row['frequency']]}."
    )


def _drawn_line(row: dict[str, Any]) -> str:
    least, most = row["rows_range"]
    rows = f"{row['rows']:,} rows" + (f" ({least:,} to {most:,})" if least != most else "")
    features = f" and {_counted(row['features'], 'feature')}" if row["features"] else ""
    few = "; more windows of this size take too long" if row["windows"] < FEW_WINDOWS else ""
    return (
        f"Seen in {_counted(row['windows'], 'window')} of {rows}{features}, drawn from the {row['reference_rows']:,}"
        f" reference rows of version {row['version']}{few}."
    )


def _looks_at_line(row: dict[str, Any]) -> list[str]:
    values = _counted(row["looks_at"], "value")
    if row["limit"] is not None:
        limit = _short(row["limit"])
        return [f"The rule looks at {values} in a window: its limit is about {limit} standard deviations."]
    return [f"The rule looks at {values} in a window."] if row["looks_at"] > 1 else []


def _without_verdict_line(row: dict[str, Any]) -> list[str]:
    n = row["without_verdict"]
    return [f"{n:,} of the windows have no verdict: too few rows, or nothing to compare with."] if n else []


def _warning(row: dict[str, Any], rule_id: int | None) -> str:
    """Say how often the rule alerts without a change, and what to type instead."""
    often = f"about {_short(row['alerts_per_30_days'])} times a month"
    if row["firing_share"] > 0.5:
        often = f"in {100 * row['firing_share']:.0f} % of the windows"
    sentence = f"The rule would alert {often} although nothing changes."
    proposals = [_proposal_text(proposal, rule_id) for proposal in row["proposals"]]
    if not proposals:
        return f"{sentence} Raise its threshold, or let the monitor have longer windows, with more rows."
    return f"{sentence} Better: {', or '.join(proposals)}."


def _proposal_text(proposal: dict[str, Any], rule_id: int | None) -> str:
    alerts = f"{_short(proposal['alerts_per_30_days'])} a month"
    if proposal["condition"] is None:
        option = f"--for {proposal['for_windows']}"
    else:
        quoted = proposal["condition"].replace("\\", "\\\\").replace('"', '\\"')
        option = f'{"--rule" if rule_id is None else "--condition"} "{quoted}"'
    return f"{option if rule_id is None else f'dcmon rule set {rule_id} {option}'} ({alerts})"


def _short(number: float) -> str:
    """Write a number with two digits: an estimate has no more."""
    return f"{number:,.0f}" if number >= 10 else f"{number:.2g}"


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")
