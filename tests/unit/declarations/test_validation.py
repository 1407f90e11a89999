"""Files are checked without a database, and all their faults are reported with their places."""

from pathlib import Path

import pytest

from dcmon import file_errors
from dcmon.declarations import file_reader
from dcmon.declarations.file_reader import ReadFiles, Source

FAULTY = """\
models:
  credit:
    task: binry
    checks:
      Drift: {class: FeatureDrft}
      Age: {class: FeatureDrift, parameters: {min_sample: 3}}
    monitors:
      Age:
        check: Age
        frequency: DAILY
        featurs: [age]
      Job:
        check: Jobs
        rules:
          - condition: ">> 0.2"
          - {condition: "> 0.2", for: "2", name: 17}
          - {condition: "> 0.2", severity: low, warn_severity: low}
receivers:
  ops: {url: "https://x.example/${FOO BAR}"}
  pager: {kind: pagerduty}
mute_times:
  nights: {hours: 22:00-06:00, days: workdays}
silences:
  - {matchers: [modl=credit], from: 7d, until: 2026-01-01}
"""


NAMED, COLUMNS = "{condition: '> 1', name: x}", "versions: {v1: {features: {age: numeric}}}"


def read(*texts: str) -> ReadFiles:
    return file_reader.read([Source(f"{number}.yaml", text.encode()) for number, text in enumerate(texts, 1)])


def faults(*texts: str) -> list[str]:
    return [str(fault) for fault in sorted(set(read(*texts).faults))]


def of_model(text: str) -> list[str]:
    """Return the faults of a model with these lines."""
    return faults("models:\n  credit:\n" + "".join(f"    {line}\n" for line in text.splitlines()))


def test_all_faults_are_reported_at_once() -> None:
    assert [fault.split(": ")[0] for fault in faults(FAULTY)] == [
        f"1.yaml:{place}"
        for place in (
            "3:5", "5:15", "6:47", "10:9", "11:9", "13:9", "15:13", "16:34", "16:44", "17:13", "19:9", "20:3", "22:32",
            "24:17", "24:31",
        )
    ]  # fmt: skip


def test_unknown_key_is_refused_with_the_nearest_one() -> None:
    message = of_model("monitors: {a: {check: FeatureDrift, lookbak: 3d}}")[0]
    assert message.startswith(
        "1.yaml:3:41: models / credit / monitors / a / lookbak: There is no key 'lookbak' here. Do you mean 'lookback'?"
    )
    assert "models / models" not in faults("modles: {}")[0]
    assert "Do you mean 'models'?" in faults("modles: {}")[0]


def test_known_keys_are_listed_at_the_first_fault_only() -> None:
    first, second, third = of_model(
        "monitors:\n  a: {check: FeatureDrift, x: 1}\n  b: {check: FeatureDrift, y: 1, rowz: 2}"
    )
    assert "The keys are renamed_from, check," in first
    assert second.endswith("There is no key 'y' here. Its keys are listed above.")
    assert third.endswith("There is no key 'rowz' here. Do you mean 'rows'?")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("checks: {a: {class: FeatureDrift, parameters: {min_sample: 3}}}", "Do you mean 'min_samples'?"),
        ("checks: {a: {class: FeatureDrft}}", "Do you mean 'FeatureDrift'?"),
        ("monitors: {a: {check: FeatureDrift, scorers: [f1]}}", "FeatureDrift has no choice of scorer"),
        ("checks: {Drift: {class: FeatureDrift}}\nmonitors: {a: {check: Drft}}", "Do you mean 'Drift'?"),
        ("monitors: {a: {check: FeatureDrift, filters: age >}}", "A value is missing"),
        ("monitors: {a: {check: DataFlow, filters: age > 3}}", "takes no filter"),
        ("monitors: {a: {check: DataFlow, rules: [{condition: '< 5'}]}}", "Name the metric"),
        ("monitors: {a: {check: FeatureDrift, compare: week, frequency: MONTH}}", "longer than a week"),
        ("monitors: {a: {check: FeatureDrift, rows: 0}}", "greater than or equal to 1"),
        (f"monitors: {{a: {{check: FeatureDrift, rules: [{NAMED}, {NAMED}]}}}}", "the name 'x'"),
        (f"task: binary\n{COLUMNS}\nmonitors: {{a: {{check: FeatureDrift, features: [aeg]}}}}", "'age'"),
        ("task: binary\nversions: {v1: {features: {age: number}}}", "no column type 'number'"),
        ("task: binary\nversions: {v1: {features: {}, classes: [b, a]}}", "Classes must be sorted"),
        ("task: binray", "not 'binray'. Do you mean 'binary'?"),
        ("monitors: {a: {check: FeatureDrift, frequency: day}}", "not 'day'. Do you mean 'DAY'?"),
        ("checks: {}\nmonitors: {a: {check: FeatureDrft}}", "Do you mean 'FeatureDrift'?"),
        ("task: regression\nchecks: {a: {class: NewLabelTrainTest}}", "regression"),
        ("monitors: {a: {check: FeatureDrift, renamed_from: b}, b: {check: FeatureDrift}}", "can't be its former name"),
        ("monitors: {a: }", "leave the key out in place of null"),
        (f"monitors: {{{'a' * 101}: {{check: FeatureDrift}}}}", "at most 100"),
        ("time_zone: Mars", "no time zone 'Mars'"),
        ("retention: 1h", "at least one day"),
    ],
)  # fmt: skip
def test_fault_of_a_model_is_explained(text: str, fault: str) -> None:
    messages = of_model(text)
    assert len(messages) == 1
    assert fault in messages[0]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("receivers: {a: {kind: slack}}", "needs the key 'url'"),
        ("receivers: {a: {kind: email, to: [a@b.example], url: 'https://x.example'}}", "of kind email has no url"),
        ("receivers: {a: {url: {secret_from: env, nme: X}}}", "{secret_from: env, name: NAME}"),
        ("receivers: {a: {url: '${DCMON_DATABASE_URL}'}}", "is a setting of dcmon"),
        ("receivers: {a: {url: 'https://x.example', severities: [urgent]}}", "not 'urgent'"),
        ("receivers: {a: {url: 'https://x.example', cap: 0}}", "greater than or equal to 1"),
        ("mute_times: {a: {hours: 25:00-26:00}}", "a day has 24 hours"),
        ("silences: [{matchers: [model=a], from: 2026-01-02, until: 2026-01-01}]", "must end after it starts"),
        ("silences: [{matchers: [], from: 2026-01-01, until: 2026-01-02}]", "at least 1 item"),
        ("organization: {retention: {samples: 90d, results: 30d}}", "at least as long as samples"),
        ("format: 2", "must be 1"),
        ("- a", "A document is an object"),
        ("", "The files say nothing"),
    ],
)
def test_fault_of_other_objects_is_explained(text: str, fault: str) -> None:
    messages = faults(text)
    assert len(messages) == 1
    assert fault in messages[0]


def test_files_are_one_document() -> None:
    first = "models: {a: {time_zone: UTC, monitors: {x: {check: FeatureDrift}}}}\nsilences: []"
    second = "models: {a: {monitors: {y: {check: FeatureDrift}}}, b: {}}\n---\nreceivers: {}\nsilences: []"
    document = read(first, second).require()
    assert list((document.models or {})["a"].monitors or {}) == ["x", "y"]
    assert list(document.models or {}) == ["a", "b"]
    assert document.receivers == {}


def test_object_in_two_files_is_refused_with_both_places() -> None:
    text = "models: {a: {time_zone: UTC, monitors: {x: {check: FeatureDrift}}}}"
    assert faults(text, text) == [
        "2.yaml:1:14: models / a / time_zone is declared twice: it is in 1.yaml:1:14 already.",
        "2.yaml:1:41: models / a / monitors / x is declared twice: it is in 1.yaml:1:41 already.",
    ]


def test_shared_anchor_is_not_changed_by_other_files() -> None:
    first = "models: {a: &a {monitors: {x: {check: FeatureDrift}}}, b: *a}"
    document = read(first, "models: {a: {monitors: {y: {check: FeatureDrift}}}}").require()
    assert list((document.models or {})["b"].monitors or {}) == ["x"]


def test_names_that_files_do_not_declare_are_remarks() -> None:
    text = "models: {a: {monitors: {x: {check: My check}}}}\nreceivers: {r: {url: 'https://x.example', models: [c]}}"
    assert [str(remark) for remark in read(text).remarks] == [
        "1.yaml:2:52: receivers / r / models / 1: Model 'c' is not in these files, so the organization must have it.",
        "1.yaml:1:29: models / a / monitors / x / check: The check 'My check' is not in these files, so model 'a' must"
        " have it.",
    ]


def test_values_have_one_form() -> None:
    text = """
models: {a: {retention: 1y, monitors: {x: {check: FeatureDrift, lookback: 30 days, filters: "age>=30 and job=x",
  rules: [{condition: ">0.20", warn_severity: null}]}}}}
"""
    document = read(text).require()
    assert document.to_data()["models"]["a"] == {
        "retention": "365d",
        "monitors": {
            "x": {
                "check": "FeatureDrift",
                "frequency": "DAY",
                "filters": "age >= 30 and job == 'x'",
                "rules": [{"condition": "> 0.2", "severity": "medium"}],
            }
        },
    }


def test_directory_is_read_in_order_without_hidden_files(tmp_path: Path) -> None:
    for name in ("b.yaml", "a/c.yml", ".git/x.yaml", "a/readme.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("models: {}")
    names = [source.name for source in file_reader.sources([str(tmp_path)])]
    assert names == [str(tmp_path / "a/c.yml"), str(tmp_path / "b.yaml")]


def test_faults_end_a_command_with_all_their_places() -> None:
    with pytest.raises(file_errors.InvalidFiles, match=r"2 faults in the files(.|\n)*1.yaml:1:1(.|\n)*1.yaml:2:1"):
        read("a: 1\nb: 2").require()
