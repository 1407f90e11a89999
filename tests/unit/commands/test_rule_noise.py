"""The sentences about what a rule does when nothing changes."""

from typing import Any

import pytest

from dcmon.commands.views import rule_noise
from dcmon.commands.views.rule_noise import NoiseTexts

ROW: dict[str, Any] = {
    "alerts_per_30_days": 3.71, "interval": [2.94, 4.52], "violated_windows_per_year": 54.2, "firing_share": 0.1,
    "windows": 680, "without_verdict": 0, "looks_at": 30, "limit": None, "is_too_much": True, "rows": 312,
    "rows_range": [240, 397], "features": 30, "frequency": "day", "units": 1, "version": "v1", "reference_rows": 5000,
    "proposals": [
        {"alerts_per_30_days": 0.48, "condition": 'any feature > 0.12', "for_windows": None},
        {"alerts_per_30_days": 0.66, "condition": None, "for_windows": 2},
    ],
    "reason": None,
}  # fmt: skip


def texts(rule_id: int | None = 7, **changes: Any) -> NoiseTexts:
    return rule_noise.texts_of(ROW | changes, rule_id)


def test_lines_state_alerts_windows_rows_and_features() -> None:
    assert texts().lines.lines == [
        "3.7 alerts a month (95 % interval: 2.9 to 4.5) and 54 violated windows a year, with a window every day.",
        "Seen in 680 windows of 312 rows (240 to 397) and 30 features, drawn from the 5,000 reference rows of version"
        " v1.",
        "The rule looks at 30 values in a window.",
    ]


def test_warning_says_what_to_type() -> None:
    (warning,) = texts().warnings
    assert warning == (
        "The rule would alert about 3.7 times a month although nothing changes. Better: dcmon rule set 7 --condition"
        ' "any feature > 0.12" (0.48 a month), or dcmon rule set 7 --for 2 (0.66 a month).'
    )
    (of_backtest,) = texts(rule_id=None).warnings
    assert of_backtest.endswith('Better: --rule "any feature > 0.12" (0.48 a month), or --for 2 (0.66 a month).')
    assert texts(is_too_much=False, proposals=[]).warnings == []
    (alone,) = texts(proposals=[], firing_share=0.97).warnings
    assert alone.startswith("The rule would alert in 97 % of the windows although nothing changes. Raise its threshold")


def test_names_with_quotes_can_be_typed() -> None:
    proposal = {"alerts_per_30_days": 0.1, "condition": '"rate of change" > 3', "for_windows": None}
    (warning,) = texts(proposals=[proposal]).warnings
    assert '--condition "\\"rate of change\\" > 3"' in warning


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"violated_windows_per_year": 0, "interval": [0, 0.163]},
         "No violated window: fewer than 0.16 alerts a month (95 %), with a window every day."),
        ({"without_verdict": 680}, "No alert, because no window has a verdict."),
        ({"limit": 6.46}, "The rule looks at 30 values in a window: its limit is about 6.5 standard deviations."),
        ({"windows": 60}, "Seen in 60 windows of 312 rows (240 to 397) and 30 features, drawn from the 5,000 reference"
                          " rows of version v1; more windows of this size take too long."),
        ({"features": 0, "rows_range": [312, 312]},
         "Seen in 680 windows of 312 rows, drawn from the 5,000 reference rows of version v1."),
        ({"without_verdict": 20}, "20 of the windows have no verdict: too few rows, or nothing to compare with."),
    ],
)  # fmt: skip
def test_line_depends_on_what_was_drawn(changes: dict[str, Any], line: str) -> None:
    assert line in texts(**changes).lines.lines


def test_reason_is_shown_where_noise_is_unknown() -> None:
    unknown = rule_noise.texts("No version of credit has rows yet.")
    assert unknown.data == {"reason": "No version of credit has rows yet."}
    assert (unknown.lines.lines, unknown.warnings) == (["Unknown: No version of credit has rows yet."], [])
