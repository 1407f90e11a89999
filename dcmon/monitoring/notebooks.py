"""A notebook that runs a check with deepchecks on the rows that dcmon has, for the computer of its reader."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from dcmon import errors
from dcmon.checks import catalogue, parameters
from dcmon.checks.kinds import CheckKind
from dcmon.db.tables.org import Version
from dcmon.monitoring import row_loader
from dcmon.monitoring.ad_hoc_monitors import AdHocMonitor
from dcmon.monitoring.ad_hoc_runs import TimeSpan
from dcmon.monitoring.notebook_cells import Cell, assignment
from dcmon.statistics.scorer_names import LIBRARY_PREFIX

MOST_ROWS = 100_000  # that the endpoint returns at once
TOKEN = "PASTE-YOUR-API-TOKEN"  # stands for a token, which a file should not have

_HEADING = """\
# A check on production data

Needs `pip install deepchecks-client`, `scikit-learn<1.4`, and an API token in `TOKEN`."""
_CONNECT = """\
from deepchecks_client import DeepchecksClient

client = DeepchecksClient(host=HOST, token=TOKEN)
model_version = client.get_model_version(model_name=MODEL, version_name=VERSION)"""
_PRODUCTION = """\
production, prediction, probabilities = model_version.get_production_data(
    start_time=START_TIME, end_time=END_TIME, rows_count=ROWS, filters=FILTERS, deepchecks_format=True
)
assert production is not None, "no sample matches the times and the filters\""""
_REFERENCE = """\
reference, reference_prediction, reference_probabilities = model_version.get_reference_data(
    rows_count=ROWS, filters=FILTERS, deepchecks_format=True
)"""
_ONE_SIDE = """\
sides = {"train_dataset": production, "y_pred_train": prediction, "y_proba_train": probabilities}"""
_TWO_SIDES = """\
if reference is not None:
    sides = {
        "train_dataset": reference,
        "y_pred_train": reference_prediction,
        "y_proba_train": reference_probabilities,
        "test_dataset": production,
        "y_pred_test": prediction,
        "y_proba_test": probabilities,
    }"""
_OPTIONS = """\
options = {
    "feature_importance": model_version.get_feature_importance(),
    "model_classes": model_version.model_classes,
}"""
_SUITE = """\
from deepchecks.tabular.suites import production_suite

suite = production_suite(task_type=TASK_TYPE, is_comparative="test_dataset" in sides)
suite_result = suite.run(**sides, **options)"""
_RUN_COMPARING = """\
assert "test_dataset" in sides, "this check compares with the reference, which has no row that matches"
result = check.run(**sides, **options)"""
_RUN_SINGLE = """\
result = check.run(production, y_pred=prediction, y_proba=probabilities, **options)"""


@dataclass(frozen=True)
class NotebookRequest:
    """What a notebook is about. `host`: the address of the endpoint. `version_id`: None for the newest samples.

    `sample_size`: how many rows a monitor reads that does not say it. `is_script`: True for a script, which has no
    notebook to show results in and writes them to files.
    """

    host: str
    version_id: int | None
    span: TimeSpan
    sample_size: int
    is_script: bool = False


def cells(session: Session, ad_hoc: AdHocMonitor, request: NotebookRequest) -> list[Cell]:
    """Return the cells of a notebook for a check.

    Raises NotFound if the model has no version, and InvalidInput for a version that it does not have.
    """
    version, kind = _version(session, ad_hoc, request.version_id), _kind(ad_hoc)
    markdown = [Cell("markdown", text) for text in (_HEADING, "## The rows", "## The check", "## The production suite")]
    return [
        markdown[0],
        Cell("code", "\n".join(_values(ad_hoc, version, request))),
        Cell("code", _CONNECT),
        markdown[1],
        Cell("code", _PRODUCTION),
        *([Cell("code", _REFERENCE)] if ad_hoc.check.needs_reference else []),
        Cell("code", f"{_ONE_SIDE}\n{_TWO_SIDES}" if ad_hoc.check.needs_reference else _ONE_SIDE),
        Cell("code", _OPTIONS),
        markdown[2],
        *_check_cells(ad_hoc, kind, request.is_script),
        markdown[3],
        Cell("code", _SUITE),
        Cell("code", _shown("suite_result", "suite.html", request.is_script)),
    ]


def _version(session: Session, ad_hoc: AdHocMonitor, version_id: int | None) -> Version:
    known = ad_hoc.versions(session)
    if not known:
        raise errors.NotFound(f"Model {ad_hoc.model.name!r} has no version, or none with the columns of the filters.")
    if version_id is None:
        return known[0]
    for version in known:
        if version.id == version_id:
            return version
    raise errors.InvalidInput(
        f"Model {ad_hoc.model.name!r} has no version {version_id} with the columns of the filters."
        " Send another model_version_id, or none for the version with the newest sample."
    )


def _kind(ad_hoc: AdHocMonitor) -> CheckKind | None:
    """Return the kind of the check; None if its package is not installed here."""
    try:
        return catalogue.for_config(ad_hoc.check.module_name, ad_hoc.check.class_name)
    except errors.InvalidInput:
        return None


def _values(ad_hoc: AdHocMonitor, version: Version, request: NotebookRequest) -> list[str]:
    rows = row_loader.row_limit(ad_hoc.monitor, request.sample_size) or MOST_ROWS
    values = {
        "HOST": request.host,
        "TOKEN": TOKEN,
        "MODEL": ad_hoc.model.name,
        "VERSION": version.name,
        "TASK_TYPE": str(ad_hoc.model.task_type),
        "START_TIME": request.span.start.isoformat(),
        "END_TIME": request.span.end.isoformat(),
        "ROWS": min(rows, MOST_ROWS),
        "FILTERS": list((ad_hoc.monitor.data_filters or {}).get("filters") or []),
    }
    return [assignment(variable, value) for variable, value in values.items()]


def _check_cells(ad_hoc: AdHocMonitor, kind: CheckKind | None, is_script: bool) -> list[Cell]:
    """Return the cells that create the check and run it. dcmon's own checks have no class in a package."""
    imported = None if kind is None else _import(kind)
    if kind is None or imported is None:
        text = "This check has no class that could be imported here; `POST /checks/{id}/run/window` returns its value."
        return [Cell("markdown", text)]
    statements = [imported, "", assignment("PARAMETERS", _arguments(ad_hoc, kind)), "check = Check(**PARAMETERS)"]
    return [
        Cell("code", "\n".join(statements)),
        Cell("code", _RUN_COMPARING if kind.needs_reference else _RUN_SINGLE),
        Cell("code", _shown("result", "check.html", is_script)),
    ]


def _import(kind: CheckKind) -> str | None:
    """Return the statement that imports the class of a check as `Check`; None for dcmon's own checks."""
    if kind.is_dcmons:
        return None
    if not kind.is_own:
        return f"from {kind.module_name} import {kind.class_name} as Check"
    module, _, names = kind.implementation.partition(":")
    return "\n".join(
        [
            "import importlib",
            "from operator import attrgetter",
            "",
            assignment("MODULE", module.strip()),
            assignment("CLASS", names.partition("[")[0].strip()),
            "Check = attrgetter(CLASS)(importlib.import_module(MODULE))",
        ]
    )


def _arguments(ad_hoc: AdHocMonitor, kind: CheckKind) -> dict[str, Any]:
    """Return the parameters that differ from their defaults, and the choices of the monitor as parameters.

    The SDK stores the library's own defaults of those that dcmon sets itself: left out, too.
    """
    defaults = {} if kind.is_own else parameters.defaults(kind)
    params = {
        name: value
        for name, value in parameters.effective(kind, ad_hoc.check.params).items()
        if (kind.is_own or name not in parameters.SET_BY_DCMON) and (name not in defaults or value != defaults[name])
    }
    return params | _chosen(kind, (ad_hoc.monitor.additional_kwargs or {}).get("check_conf") or {})


def _chosen(kind: CheckKind, conf: Mapping[str, Any]) -> dict[str, Any]:
    chosen: dict[str, Any] = {}
    if kind.reads_features and conf.get("feature"):
        chosen["columns"] = _listed(conf["feature"])
    if kind.aggregations and conf.get("aggregation method"):
        chosen["aggregation_method"] = _listed(conf["aggregation method"])[0]
    if "scorer" in kind.choices and conf.get("scorer"):
        names = [catalogue.scorer_name(str(name)) for name in _listed(conf["scorer"])]
        chosen["scorers"] = [name.removeprefix(LIBRARY_PREFIX) for name in names]
    if "class" in kind.choices and conf.get("class"):
        chosen["class_list_to_show"] = [str(name) for name in _listed(conf["class"])]
    return chosen


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]


def _shown(variable: str, file: str, is_script: bool) -> str:
    return f'{variable}.save_as_html("{file}", as_widget=False)' if is_script else f"{variable}.show()"
