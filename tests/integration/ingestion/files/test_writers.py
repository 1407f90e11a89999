"""One table, as many programs write it, is the same rows: whichever file is loaded first, all others are duplicates.

The files in tests/fixtures/writers were written by pandas 1.5.3, 2.2.3 and 3.1.1 (with pyarrow or fastparquet), polars
2.1.0, DuckDB 2.0.1 and pyarrow 26; those of Excel, R, Spark and Kafka Connect by hand, in the form of these programs.
"""

from collections.abc import Mapping
from pathlib import Path

import pytest

from dcmon import db
from dcmon.app import App
from dcmon.ingestion.files import file_target, manual_load
from dcmon.ingestion.files.dialect import NO_OPTIONS, Dialect
from dcmon.ingestion.files.manual_load import LoadRequest, ManualLoad
from dcmon.ingestion.values.rules import DateOrder
from dcmon.states import RowKind
from dcmon.storage import models, versions
from dcmon.storage.models import NewModel
from dcmon.storage.versions import NewVersion
from tests.conftest import Acme
from tests.helpers.paths import ROOT

WRITERS = ROOT / "tests" / "fixtures" / "writers"
SHEETS = {
    "excel-german.csv": Dialect(time_zone="Europe/Berlin", date_order=DateOrder.DAY),
    "excel-french.csv": Dialect(time_zone="Europe/Berlin", date_order=DateOrder.DAY),
    "excel-american.csv": Dialect(time_zone="Europe/Berlin", date_order=DateOrder.MONTH),
    "r-write-csv.csv": Dialect(time_zone="Europe/Berlin", null=("NA",)),
}
FEATURES = {
    "visits": "integer", "amount": "numeric", "is_new": "boolean", "zone": "categorical", "city": "categorical",
    "share": "categorical", "price": "numeric", "zoned": "datetime",
}  # fmt: skip
NOT_OF_SHEETS = {"big": "bigint", "day": "datetime", "naive": "datetime"}  # they write no zone, and fewer digits
ROWS = 6


def load(app: App, acme: Acme, path: Path, model: str, renames: Mapping[str, str]) -> ManualLoad:
    dialect = SHEETS.get(path.name, NO_OPTIONS)
    with db.org_session(app.engine, acme.org) as session:
        target = file_target.find(session, model, None, RowKind.SAMPLES, renames, dialect)
    return manual_load.load(app.engine, acme.org, target, LoadRequest(str(path)))


@pytest.mark.parametrize("is_sheet", [False, True], ids=["programs", "sheets"])
def test_files_of_all_writers_are_the_same_rows(app: App, acme: Acme, is_sheet: bool) -> None:
    columns = FEATURES if is_sheet else FEATURES | NOT_OF_SHEETS
    renames = dict.fromkeys(NOT_OF_SHEETS, "") if is_sheet else {}
    with app.org(acme.org) as session:
        model = models.create(session, NewModel("writers", "binary"))
        versions.create(session, model, NewVersion("v1", columns, classes=["0", "1"]))
    first = WRITERS / "duckdb.parquet"
    stored = load(app, acme, first, "writers", renames)
    assert (stored.result.outcome.stored, stored.result.labels.stored, stored.remarks) == (ROWS, ROWS - 1, [])

    results = {}
    for path in sorted(WRITERS.iterdir()):
        if path != first and (path.name in SHEETS) == is_sheet:
            named = {name: field for name, field in renames.items() if name != "big"}
            result = load(app, acme, path, "writers", named).result
            results[path.name] = (result.outcome.duplicates, result.labels.duplicates, result.reasons)
    assert results == dict.fromkeys(results, (ROWS, ROWS - 1, {}))
    assert len(results) == (len(SHEETS) if is_sheet else 22)
