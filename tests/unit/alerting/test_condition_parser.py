"""Parse rule conditions and write them back as text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dcmon import errors
from dcmon.alerting.condition_parser import default_min_windows, parse, to_text
from dcmon.alerting.rule_conditions import CHANGES, DEFAULT_FLOOR, Condition, Target
from dcmon.operators import OPERATOR_OF_SIGN, UPPER_BOUNDS


@pytest.mark.parametrize(
    ("text", "condition"),
    [
        ("> 0.2", Condition("greater_than", 0.2)),
        ("< 80%", Condition("less_than", 0.8)),
        ("Drift Score > 0.2", Condition("greater_than", 0.2, Target("either", "one", "Drift Score"))),
        ("Drift > 0.2 warn 0.1", Condition("greater_than", 0.2, Target("either", "one", "Drift"), warn=0.1)),
        ("f1_macro<0.7", Condition("less_than", 0.7, Target("either", "one", "f1_macro"))),
        ("0-1 Loss > 0.2", Condition("greater_than", 0.2, Target("either", "one", "0-1 Loss"))),
        ("Per Class 0 > 1", Condition("greater_than", 1, Target("either", "one", "Per Class 0"))),
        ('"1" > 0', Condition("greater_than", 0, Target("either", "one", "1"))),
        ("class 1 > 0", Condition("greater_than", 0, Target("entry", "one", "1"))),
        ("any feature > 0.3", Condition("greater_than", 0.3, Target("entry", "any"))),
        ("ALL features > 0.3", Condition("greater_than", 0.3, Target("entry", "all"))),
        ("all > 0.3", Condition("greater_than", 0.3, Target("metric", "all"))),
        ("feature age > 0.3", Condition("greater_than", 0.3, Target("entry", "one", "age"))),
        ('feature "change > x" > 0.3', Condition("greater_than", 0.3, Target("entry", "one", "change > x"))),
        (r'feature "he said \"hi\"" > 3', Condition("greater_than", 3, Target("entry", "one", 'he said "hi"'))),
        ('feature "he said ""hi""" > 3', Condition("greater_than", 3, Target("entry", "one", 'he said "hi"'))),
        (r'feature "C:\\temp" > 3', Condition("greater_than", 3, Target("entry", "one", r"C:\temp"))),
        ("Größe ü >= 1", Condition("greater_than_equals", 1, Target("either", "one", "Größe ü"))),
        ("outside 0.1..0.4", Condition("outside", 0.1, upper=0.4)),
        ("outside -1 to 1.", Condition("outside", -1, upper=1)),
        ("rows inside 1..5", Condition("inside", 1, Target("either", "one", "rows"), upper=5)),
        ("change > 20%", Condition("greater_than", 20, measure="change", is_percent=True)),
        ("rows drop > 5", Condition("greater_than", 5, Target("either", "one", "rows"), measure="drop")),
        ("rise > 5 against reference", Condition("greater_than", 5, measure="rise", against="reference")),
        ("deviation > 3 over 14", Condition("greater_than", 3, measure="deviation", over=14, min_windows=7)),
        ("deviation > 3", Condition("greater_than", 3, measure="deviation", over=14, min_windows=7)),
        (
            "deviation down >= 2 over 30 min 5 floor 0.1",
            Condition("greater_than_equals", 2, measure="deviation down", over=30, min_windows=5, floor=0.1),
        ),
        ("outside 0..10 warn 2..8", Condition("outside", 0, upper=10, warn=2, warn_upper=8)),
        ("any feature > 1 unless usual", Condition("greater_than", 1, Target("entry", "any"), usual_over=35)),
        ("> 1 unless usual steps 2.5", Condition("greater_than", 1, usual_over=35, usual_steps=2.5)),
        ("> 1 warn 0.5 unless usual over 504", Condition("greater_than", 1, warn=0.5, usual_over=504)),
        (
            "rows drop > 60% against weekly",
            Condition(
                "greater_than", 60, Target("either", "one", "rows"), measure="drop", is_percent=True, against="weekly",
                over=28,
            ),
        ),
        ("< 0.7 warn < 0.8", Condition("less_than", 0.7, warn=0.8)),
    ],
)  # fmt: skip
def test_valid_condition_is_parsed_and_survives_a_round_trip(text: str, condition: Condition) -> None:
    assert parse(text) == condition
    assert parse(to_text(condition)) == condition


@pytest.mark.parametrize(
    "text",
    [
        "", " ", ">", "score", "0.2", "> nan", "> inf", "> 1e999", "> 1,5", "> 0x1", ">> 1", "> --1", "1 > 0", "≥ 1",
        "> 0.2 0.3", "> 0.2 warn", "> 0.2 warn 0.1 warn 0.1", "outside 1", "outside 1..", "change 5", "change > %",
        "deviation > 3 over", "deviation > 3 over x", "deviation > 3 over 14.5", 'any "x" > 1', '"a" b > 1', '"" > 1',
        "> 1 unless", "> 1 unless usual over", "> 1 unless usual steps",
        "drop > 1 unless usual", "drop > 1 against weekly over x",
        "> 0.1 against reference", "change > 1 against", "change > 1 against week",
        "feature age", "> 0.2 and < 0.4", "> 1\nrm -rf", "> ٣",
    ],
)  # fmt: skip
def test_text_that_is_no_condition_is_refused(text: str) -> None:
    with pytest.raises(errors.InvalidInput, match="not a condition"):
        parse(text)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("outside 0.4..0.1", "smaller number"),
        ("> 0.2 warn 0.3", "warning level before"),
        ("< 0.2 warn 0.1", "warning level before"),
        ("== 1 warn 0", "warning level before"),
        ("outside 0..1 warn -1..2", "warning level before"),
        ("deviation > 3 over 2", "3 to 1000"),
        ("deviation > 3 over 14 min 20", "3 to 1000"),
        ("deviation > 3 over 14 floor -1", "can't be negative"),
        ("> 1 unless usual over 4", "5 to 1000"),
        ("> 1 unless usual steps -1", "can't be negative"),
        ("< 1 unless usual", "above a limit"),
        ("> -1 unless usual", "above a limit"),
        ("drop > 1 against weekly over 1", "2 to 1000"),
        ("drop > 1 against weekly floor -1", "floor of at least 0"),
        ("x" * 1001, "at most 1000"),
    ],
)
def test_contradictory_condition_is_refused_with_a_reason(text: str, reason: str) -> None:
    with pytest.raises(errors.InvalidInput, match=reason):
        parse(text)


numbers = st.floats(-1e12, 1e12) | st.integers(-1000, 1000).map(float)
names = st.text(min_size=1, max_size=30) | st.sampled_from(
    ["Drift Score", "change", "any", "feature", "all features", "feature x", "1", "a > b", "metric", '"', "\\", "a..b"]
)
subjects = (
    st.sampled_from([Target(), Target("metric", "all"), Target("entry", "any"), Target("entry", "all")])
    | st.builds(Target, st.sampled_from(["metric", "entry", "either"]), st.just("one"), names)
)  # fmt: skip


@st.composite
def conditions(draw: st.DrawFn) -> Condition:
    subject, sign = draw(subjects), draw(st.sampled_from(sorted(set(OPERATOR_OF_SIGN.values()))))
    kind = draw(st.sampled_from(["value", "range", "change", "deviation"]))
    warn = None
    threshold = draw(numbers)
    if sign.startswith(("greater", "less")) and draw(st.booleans()):
        step = 1 + abs(draw(numbers))
        warn = threshold - step if sign.startswith("greater") else threshold + step
        warn = None if warn == threshold else warn
    if kind == "range":
        low, high = sorted(draw(st.lists(numbers, min_size=2, max_size=2, unique=True)))
        return Condition(draw(st.sampled_from(["outside", "inside"])), low, subject, upper=high)
    if kind == "change":
        against = draw(st.sampled_from(["previous", "reference", "weekly"]))
        weekly = {}
        if against == "weekly":
            weekly = {"over": draw(st.integers(2, 1000)), "floor": draw(st.just(DEFAULT_FLOOR) | st.floats(0, 100))}
        return Condition(
            sign, threshold, subject, measure=draw(st.sampled_from(CHANGES)), is_percent=draw(st.booleans()),
            against=against, warn=warn, **weekly,
        )  # fmt: skip
    if kind == "deviation":
        over = draw(st.integers(3, 1000))
        fewest = draw(st.just(default_min_windows(over)) | st.integers(2, over))
        minimum_change = draw(st.just(DEFAULT_FLOOR) | st.floats(0, 100))
        measure = draw(st.sampled_from(["deviation", "deviation up", "deviation down"]))
        return Condition(
            sign, threshold, subject, measure=measure, over=over, min_windows=fewest, floor=minimum_change, warn=warn
        )
    usual = draw(st.integers(5, 1000)) if sign in UPPER_BOUNDS and threshold >= 0 and draw(st.booleans()) else 0
    return Condition(sign, threshold, subject, warn=warn, usual_over=usual)


@given(conditions())
def test_written_condition_parses_to_an_equal_condition(condition: Condition) -> None:
    assert parse(to_text(condition)) == condition


@given(st.text(alphabet='><=!"% .0123456789abc\\-+warnoutsidefeature\n\t', max_size=40))
def test_arbitrary_text_parses_or_raises_invalid_input(text: str) -> None:
    try:
        condition = parse(text)
    except errors.InvalidInput:
        return
    assert parse(to_text(condition)) == condition


@pytest.mark.parametrize("text", ["outside 10%..20%", "outside 10..20%", "outside 10% to 20%", "outside 0.1..0.2"])
def test_range_may_be_given_in_percent(text: str) -> None:
    condition = parse(text)
    assert (condition.threshold, condition.upper) == (0.1, 0.2)
    assert to_text(condition) == "outside 0.1..0.2"


def test_warning_range_may_be_given_in_percent() -> None:
    assert to_text(parse("outside 10%..40% warn 20%..30%")) == "outside 0.1..0.4 warn 0.2..0.3"


def test_range_from_percent_to_plain_number_is_refused() -> None:
    with pytest.raises(errors.InvalidInput, match="is not a condition"):
        parse("outside 10%..20")


@pytest.mark.parametrize("text", ["> 1e-400", "outside -1e-999..1", "drop > 1 warn 0.3e-330"])
def test_number_that_would_be_rounded_to_0_is_refused(text: str) -> None:
    with pytest.raises(errors.InvalidInput, match="so small that it is rounded to 0"):
        parse(text)


def test_zero_is_accepted_in_every_notation() -> None:
    assert parse("> 0e-400").threshold == parse("> 0.00").threshold == 0


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("f1 > 0.2 unles usual", "'unles' (character 10) can't follow; what may follow is warn or unless usual."),
        ("drop > 20% over 3", "'over' (character 12) can't follow; what may follow is warn or against."),
        ("> x", "a number is expected in place of 'x' (character 3)."),
        ("> 0.2 warn", "a number is missing at its end."),
        ("drop 20%", "is expected in place of '20' (character 6)."),
        ("drop > 20% against referense", "previous, reference or weekly is expected in place of 'referense'"),
        ("outside 0.1", "the other end of the range, as in 0.1..0.4, is missing at its end."),
        ('"a > 1', "'\"a > 1' (character 1) can't be read."),
        ("hello", "it compares nothing"),
    ],
)
def test_fault_of_a_condition_is_named_with_its_place(text: str, fault: str) -> None:
    with pytest.raises(errors.InvalidInput) as raised:
        parse(text)
    assert fault in str(raised.value)
    assert '"dcmon rule create --help" lists all forms.' in str(raised.value)
