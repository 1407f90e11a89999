"""Values over HTTP: they are those that monitors store, and the old system's faults are gone."""

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from dcmon.app import App
from dcmon.monitoring import monitors
from dcmon.storage import models
from dcmon.windows import ComparedWith
from tests.conftest import Acme
from tests.helpers import valued_model
from tests.helpers.endpoint import Endpoint, serving
from tests.helpers.statements import recorded_statements
from tests.helpers.valued_model import DAYS, START, day
from tests.integration.conftest import Target
from tests.integration.http.test_rules import send_request

RANGE = {"start_time": START.isoformat(), "end_time": (START + timedelta(days=DAYS - 1)).isoformat()}
ENDS = [(START + timedelta(days=number + 1)).isoformat() for number in range(DAYS)]
KWARGS = {"check_conf": {"feature": None}, "res_conf": None}


@pytest.fixture
def endpoint(app: App, acme: Acme, target: Target) -> Iterator[Endpoint]:
    """Serve a model with four days of samples and labels, and a reference."""
    valued_model.fill(app, target)
    with serving(app, acme.token) as client:
        yield client


def lookback(endpoint: Endpoint, check_id: int, status: int = 200, **body: Any) -> Any:
    body = {**RANGE, "frequency": "DAY", **body}
    return send_request(endpoint, "POST", f"checks/{check_id}/run/lookback", body, status)


def window(endpoint: Endpoint, check_id: int, status: int = 200, query: str = "", **body: Any) -> Any:
    return send_request(endpoint, "POST", f"checks/{check_id}/run/window{query}", {**RANGE, **body}, status)


CASES = [
    ("FeatureDrift", {}, None),
    ("FeatureDrift", {"check_conf": {"feature": ["age"], "aggregation method": ["max"]}}, None),
    ("SingleDatasetPerformance", {"check_conf": {"scorer": ["F1 Per Class", "Accuracy"]}}, None),
    ("SingleDatasetPerformance", {"check_conf": {"scorer": ["F1 Per Class"]}, "res_conf": ["1"]}, None),
    ("PredictionDrift", {}, {"filters": [{"column": "job", "operator": "not_equals", "value": "j1"}]}),
    ("LabelDrift", {}, {"filters": [{"column": "age", "operator": "greater_than", "value": 30}]}),
    ("PercentOfNulls", {}, {"filters": [{"column": "age", "operator": "equals", "value": None}]}),
    ("NewCategoryTrainTest", {}, {"filters": [{"column": "job", "operator": "in", "value": ["j1", "j2"]}]}),
    ("DriftBeyondNoise", {}, None),
    ("EstimatedPerformance", {"check_conf": {"scorer": ["accuracy"]}}, None),
    ("DataFlow", {"check_conf": {}, "res_conf": ["rows", "label ratio"]}, None),
]


@pytest.mark.parametrize(("class_name", "choices", "filters"), CASES)
def test_computed_value_is_the_one_a_monitor_stores(
    app: App, target: Target, endpoint: Endpoint, class_name: str, choices: dict[str, Any], filters: Any
) -> None:
    """Values of windows without a result equal, to the last bit, those that a monitor stores of them later."""
    check = valued_model.create_check(app, target, class_name)
    kwargs = {"check_conf": {}, "res_conf": None, **choices}
    before = lookback(endpoint, check, additional_kwargs=kwargs, filter=filters)
    assert before["time_labels"] == ENDS
    assert {detail["monitor_id"] for detail in before["details"]["versions"]["v1"]} == {None}
    monitor = valued_model.create_monitor(app, target, check, additional_kwargs=kwargs, data_filters=filters)
    stored = valued_model.evaluate(app, target, monitor, [day(number) for number in range(DAYS)])
    assert [result.metrics or None for result in stored] == before["output"]["v1"]
    assert any(before["output"]["v1"])
    details = before["details"]["versions"]["v1"]
    assert [(result.n, result.state, result.reason) for result in stored] == [
        (detail["n"], detail["state"], detail["reason"]) for detail in details
    ]
    after = lookback(endpoint, check, additional_kwargs=kwargs, filter=filters)
    assert (after["output"], after["time_labels"]) == (before["output"], before["time_labels"])
    if class_name != "DataFlow":
        assert {detail["monitor_id"] for detail in after["details"]["versions"]["v1"]} == {monitor}


def test_evaluated_windows_are_stored_results(app: App, target: Target, endpoint: Endpoint) -> None:
    """A changed result shows that no check ran."""
    check = valued_model.create_check(app, target, "FeatureDrift")
    monitor = valued_model.create_monitor(app, target, check)
    valued_model.evaluate(app, target, monitor, [day(number) for number in range(DAYS)])
    mark(app, target)
    assert lookback(endpoint, check)["output"]["v1"] == [{"mark": 1.0}] * DAYS
    other = lookback(endpoint, check, additional_kwargs={"check_conf": {"feature": ["age"]}})
    assert [set(value) for value in other["output"]["v1"]] == [{"L3 Weighted Drift Score"}] * DAYS
    assert lookback(endpoint, check, aggregation_window=2)["output"]["v1"] != [{"mark": 1.0}] * DAYS


def test_evaluated_windows_cost_few_statements(app: App, target: Target, endpoint: Endpoint) -> None:
    """The number of statements depends neither on the windows nor on the monitors of the check."""
    check = valued_model.create_check(app, target, "FeatureDrift")
    wide = {"start_time": (START - timedelta(days=20)).isoformat()}
    counts = []
    lookback(endpoint, check)  # notes that the token is used
    for body in ({}, wide):
        monitor = valued_model.create_monitor(app, target, check)
        valued_model.evaluate(app, target, monitor, [day(number) for number in range(DAYS)])
        with recorded_statements() as recorded:
            lookback(endpoint, check, **body)
        counts.append(len(recorded))
    assert counts[0] == counts[1] <= 8, recorded


def mark(app: App, target: Target) -> None:
    with app.org(target.org) as session:
        session.execute(text("""update results set metrics = '{"mark": 1}'"""))


def marked(endpoint: Endpoint, check: int) -> list[bool]:
    return [value == {"mark": 1.0} for value in lookback(endpoint, check)["output"]["v1"]]


def test_late_rows_make_only_their_window_new(app: App, target: Target, endpoint: Endpoint) -> None:
    """The old system answered from its cache for up to a minute after data changed."""
    check = valued_model.create_check(app, target, "FeatureDrift")
    monitor = valued_model.create_monitor(app, target, check)
    valued_model.evaluate(app, target, monitor, [day(number) for number in range(DAYS)])
    mark(app, target)
    valued_model.log_window(app, target, START + timedelta(days=1, hours=9), 30, "late")
    assert marked(endpoint, check) == [True, False, True, True]


def test_new_reference_makes_stored_values_old(app: App, target: Target, endpoint: Endpoint) -> None:
    """The old system answered from its cache after another reference was uploaded."""
    check = valued_model.create_check(app, target, "FeatureDrift")
    monitor = valued_model.create_monitor(app, target, check)
    valued_model.evaluate(app, target, monitor, [day(number) for number in range(DAYS)])
    mark(app, target)
    valued_model.load_reference(app, target, 90, seed=9)
    assert marked(endpoint, check) == [False] * DAYS


def test_changed_check_makes_stored_values_old(app: App, target: Target, endpoint: Endpoint) -> None:
    """The old system answered from its cache after the parameters of a check were changed."""
    check = valued_model.create_check(app, target, "FeatureDrift")
    monitor = valued_model.create_monitor(app, target, check)
    valued_model.evaluate(app, target, monitor, [day(number) for number in range(DAYS)])
    mark(app, target)
    send_request(endpoint, "PUT", f"monitors/{monitor}", {"params": {"min_samples": 7}})
    response = send_request(endpoint, "POST", f"monitors/{monitor}/run", {"end_time": RANGE["end_time"]})
    assert {"mark": 1.0} not in response["output"]["v1"]


def test_other_importance_makes_stored_values_old(app: App, target: Target, endpoint: Endpoint) -> None:
    """R17: results stayed as they were when the importance of features was changed."""
    check = valued_model.create_check(app, target, "FeatureDrift")
    nulls = valued_model.create_check(app, target, "LabelDrift")
    monitor, other = (valued_model.create_monitor(app, target, one) for one in (check, nulls))
    valued_model.evaluate(app, target, monitor, [day(number) for number in range(DAYS)])
    mark(app, target)
    path, importance = f"model-versions/{target.version_id}", {"age": 0.9, "job": 0.1}
    send_request(endpoint, "PUT", path, {"feature_importance": importance})
    assert marked(endpoint, check) == [False] * DAYS
    values = lookback(endpoint, check)["output"]["v1"]
    stored = valued_model.evaluate(app, target, monitor, [day(number) for number in range(DAYS)])
    assert [result.metrics for result in stored] == values
    mark(app, target)
    send_request(endpoint, "PUT", path, {"feature_importance": importance, "name": "v1"})
    assert marked(endpoint, check) == [True] * DAYS
    with app.org(target.org) as session:
        assert (monitors.get(session, monitor).revision, monitors.get(session, other).revision) == (2, 1)


def test_versions_that_miss_the_window_are_null(app: App, target: Target, endpoint: Endpoint) -> None:
    """R1: a version without rows in the window made run/window fail."""
    valued_model.add_second_version(app, target)
    check = valued_model.create_check(app, target, "PercentOfNulls")
    first_day = {"start_time": START.isoformat(), "end_time": (START + timedelta(days=1)).isoformat()}
    response = send_request(endpoint, "POST", f"checks/{check}/run/window", first_day)
    assert response["v2"] is None
    assert response["v1"].keys() == {"Max Null Ratio"}
    output = lookback(endpoint, check)["output"]
    assert [value is None for value in output["v2"]] == [True, True, False, False]


def test_version_without_a_filtered_column_is_left_out(app: App, target: Target, endpoint: Endpoint) -> None:
    """R1: a version that the filter does not fit made run/window and alerts fail."""
    valued_model.add_second_version(app, target)
    check = valued_model.create_check(app, target, "PercentOfNulls")
    has_job = {"filters": [{"column": "job", "operator": "equals", "value": "j1"}]}
    assert window(endpoint, check, filter=has_job).keys() == {"v1"}
    assert lookback(endpoint, check, filter=has_job)["output"].keys() == {"v1"}
    refused = lookback(endpoint, check, 400, filter={"filters": [{"column": "nix", "operator": "equals", "value": 1}]})
    assert "There is no column 'nix' to filter by." in refused["error_message"]


def test_versions_with_other_features_have_values(app: App, target: Target, endpoint: Endpoint) -> None:
    """R16: the features of the first version were read of all versions, with a KeyError."""
    valued_model.add_second_version(app, target)
    check = valued_model.create_check(app, target, "PercentOfNulls")
    plain = {"check_conf": {"aggregation method": ["none"]}}
    response = window(endpoint, check, additional_kwargs=plain, end_time=ENDS[-1])
    assert (response["v1"].keys(), response["v2"].keys()) == ({"age", "job"}, {"age", "wage"})
    chosen = window(
        endpoint,
        check,
        query="?details=true",
        end_time=ENDS[-1],
        additional_kwargs={"check_conf": {"feature": ["job"]}},
    )
    assert (chosen["output"]["v1"].keys(), chosen["output"]["v2"]) == ({"Max Null Ratio"}, None)
    assert (chosen["details"]["v2"]["state"], "job" in chosen["details"]["v2"]["reason"]) == ("ERROR", True)


def test_some_rows_without_probabilities_have_a_value(app: App, target: Target, endpoint: Endpoint) -> None:
    """R16: probabilities of some rows alone made the call fail."""
    rows = [
        {
            "_dc_sample_id": f"x{number}", "_dc_time": (START + timedelta(hours=1, seconds=number)).isoformat(),
            "_dc_prediction": "1", "age": 3, "job": "j1",
        }
        for number in range(20)
    ]  # fmt: skip
    app.ingestion.ingest_samples(target.org, target.version_id, [json.dumps(row).encode() for row in rows])
    for name in ("PredictionDrift", "SingleDatasetPerformance"):
        response = window(endpoint, valued_model.create_check(app, target, name), end_time=ENDS[-1])
        assert response["v1"]


def test_every_operator_filters(app: App, target: Target, endpoint: Endpoint) -> None:
    """R2: not_equals was a failure of the server."""
    check = valued_model.create_check(app, target, "DataFlow")
    nulls = valued_model.create_check(app, target, "PercentOfNulls")

    def n(operator: str, value: Any, column: str = "job") -> int:
        one = {"filters": [{"column": column, "operator": operator, "value": value}]}
        response = window(endpoint, nulls, query="?details=true", filter=one, end_time=ENDS[-1])
        return int(response["details"]["v1"]["n"])

    total = 120 * DAYS
    assert n("equals", "j1") + n("not_equals", "j1") == total
    assert n("in", ["j0", "j1", "j2"]) == total
    assert n("in", ["j1", "j2"]) == n("not_equals", "j0") == total - n("equals", "j0")
    assert n("equals", None, "age") + n("not_equals", None, "age") == total
    assert n("greater_than", 40, "age") + n("less_than_equals", 40, "age") == n("not_equals", None, "age")
    assert n("greater_than_equals", 40, "age") + n("less_than", 40, "age") == n("not_equals", None, "age")
    filters = {"filters": [{"column": "job", "operator": "equals", "value": "j1"}]}
    assert "takes no filter" in window(endpoint, check, 400, filter=filters)["error_message"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"frequency": "YEAR"}, 422),
        ({"start_time": None}, 422),
        ({"start_time": "soon"}, 422),
        ({"start_time": "2026-04-01T00:00:00Z"}, 422),
        ({"end_time": "9999-12-31T23:59:59Z"}, 422),
        ({"aggregation_window": 1001}, 422),
        ({"filter": {"filters": [{"column": "job", "operator": "like", "value": "j1"}]}}, 422),
        ({"filter": {"filters": [{"column": "age", "operator": "greater_than", "value": "old"}]}}, 400),
        ({"filter": {"filters": [{"column": "age", "operator": "like", "value": 1}]}}, 422),
        ({"additional_kwargs": {"res_conf": None}}, 422),
        ({"additional_kwargs": {"check_conf": {"scorer": []}}}, 422),
        ({"additional_kwargs": {"check_conf": {"colour": ["x"]}}}, 422),
        ({"additional_kwargs": {"check_conf": {"scorer": ["Acuracy"]}}}, 400),
    ],
)
def test_request_that_does_not_fit_is_refused(
    app: App, target: Target, endpoint: Endpoint, body: dict[str, Any], status: int
) -> None:
    """R15: some requests that do not fit were failures of the server."""
    check = valued_model.create_check(app, target, "SingleDatasetPerformance")
    assert lookback(endpoint, check, status, **body)["error_message"]


def test_missing_field_is_refused(app: App, target: Target, endpoint: Endpoint) -> None:
    """R15: a missing time was a failure of the server."""
    check = valued_model.create_check(app, target, "PercentOfNulls")
    for route in ("lookback", "window"):
        path = f"checks/{check}/run/{route}"
        assert (
            "end_time"
            in send_request(endpoint, "POST", path, {"start_time": RANGE["start_time"]}, 422)["error_message"]
        )
    send_request(endpoint, "POST", f"checks/{2**31}/run/lookback", RANGE, 422)
    send_request(endpoint, "POST", "checks/4711/run/lookback", RANGE, 404)


def test_unknown_feature_is_refused_with_the_nearest(app: App, target: Target, endpoint: Endpoint) -> None:
    check = valued_model.create_check(app, target, "FeatureDrift")
    refused = lookback(endpoint, check, 400, additional_kwargs={"check_conf": {"feature": ["aged"]}})
    assert "'age'" in refused["error_message"]


def test_range_without_samples_gives_404(app: App, target: Target, endpoint: Endpoint) -> None:
    check = valued_model.create_check(app, target, "FeatureDrift")
    empty = {"start_time": "2020-01-01T00:00:00Z", "end_time": "2020-01-03T00:00:00Z"}
    for route in ("lookback", "window"):
        send_request(endpoint, "POST", f"checks/{check}/run/{route}", empty, 404)


def test_window_counts_rows_to_the_second(app: App, target: Target, endpoint: Endpoint) -> None:
    """A window need not be aligned: rows of its first and last quarter hour are counted one by one."""
    check = valued_model.create_check(app, target, "PercentOfNulls")
    first = START + timedelta(hours=3)

    def counts(start: timedelta, end: timedelta) -> tuple[int, int]:
        times = {"start_time": (first + start).isoformat(), "end_time": (first + end).isoformat()}
        details = window(endpoint, check, query="?details=true", **times)["details"]["v1"]
        return details["n"], details["n_rows"]

    minute = timedelta(minutes=1)
    assert counts(7 * minute, 64 * minute) == (57, 57)
    assert counts(7 * minute, 8 * minute) == (1, 1)
    assert counts(15 * minute, 30 * minute) == (15, 15)
    assert counts(0 * minute, 31 * minute) == (31, 31)
    assert counts(14 * minute, 30 * minute) == (16, 16)


def test_windows_follow_the_models_clock(app: App, target: Target, endpoint: Endpoint) -> None:
    """R18: windows drifted by an hour after the clock change of 29 March."""
    with app.org(target.org) as session:
        models.get(session, target.model_id).time_zone = "Europe/Berlin"
    check = valued_model.create_check(app, target, "PercentOfNulls")
    response = lookback(endpoint, check, end_time="2026-03-30T12:00:00+02:00", start_time="2026-03-02T00:00:00Z")
    assert response["time_labels"][-3:] == [
        "2026-03-28T23:00:00+00:00", "2026-03-29T22:00:00+00:00", "2026-03-30T22:00:00+00:00",
    ]  # fmt: skip
    assert len(response["time_labels"]) == 29


def test_long_range_has_its_last_31_windows(app: App, target: Target, endpoint: Endpoint) -> None:
    check = valued_model.create_check(app, target, "PercentOfNulls")
    end = START + timedelta(days=DAYS)
    body = {"start_time": "1970-01-01T00:00:00Z", "end_time": end.isoformat()}
    response = lookback(endpoint, check, frequency="HOUR", **body)
    assert (len(response["time_labels"]), response["time_labels"][-1]) == (31, (end + timedelta(hours=1)).isoformat())
    monthly = lookback(endpoint, check, frequency=None, **body)
    assert (monthly["details"]["frequency"], monthly["time_labels"][-1]) == ("MONTH", "2026-04-01T00:00:00+00:00")


def test_reference_has_values_of_up_to_all_its_rows(app: App, target: Target, endpoint: Endpoint) -> None:
    valued_model.add_second_version(app, target)
    check = valued_model.create_check(app, target, "SingleDatasetPerformance")
    response = send_request(endpoint, "POST", f"checks/{check}/run/reference?details=true", {})
    assert response["output"].keys() == {"v1"}
    assert response["output"]["v1"].keys() == {"Accuracy", "Precision", "Recall"}
    assert response["details"]["v1"]["n"] == 200
    filters = {"filters": [{"column": "job", "operator": "equals", "value": "j1"}]}
    plain = send_request(endpoint, "POST", f"checks/{check}/run/reference", {"filter": filters})
    assert plain["v1"] != response["output"]["v1"]
    drift = valued_model.create_check(app, target, "FeatureDrift")
    assert "compares" in send_request(endpoint, "POST", f"checks/{drift}/run/reference", {}, 400)["error_message"]


def test_monitor_runs_its_lookback(app: App, target: Target, endpoint: Endpoint) -> None:
    """A run of a monitor returns its values, also those that are compared with the previous window."""
    check = valued_model.create_check(app, target, "FeatureDrift")
    choices = {"compared_with": ComparedWith.PREVIOUS, "rows": 50, "lookback": timedelta(days=3)}
    monitor = valued_model.create_monitor(app, target, check, **choices)
    body = {"end_time": RANGE["end_time"]}
    before = send_request(endpoint, "POST", f"monitors/{monitor}/run", body)
    assert before["time_labels"] == ENDS
    stored = valued_model.evaluate(app, target, monitor, [day(number) for number in range(DAYS)])
    assert [result.metrics or None for result in stored] == before["output"]["v1"]
    assert [result.n for result in stored] == [50] * DAYS or stored[0].state == "NO_DATA"
    after = send_request(endpoint, "POST", f"monitors/{monitor}/run", body)
    assert after["output"] == before["output"]
    assert {detail["monitor_id"] for detail in after["details"]["versions"]["v1"]} == {monitor}
    send_request(endpoint, "POST", f"monitors/{monitor}/run", {"end_time": "soon"}, 422)
    send_request(endpoint, "POST", f"monitors/{monitor}/run", None, 404)
    send_request(endpoint, "POST", "monitors/99/run", {}, 404)
    with app.org(target.org) as session:
        assert monitors.get(session, monitor).revision == 1
