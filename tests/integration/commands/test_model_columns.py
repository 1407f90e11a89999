"""Columns of a version, as the commands that create models and load files take them."""

import json
from collections.abc import Callable
from pathlib import Path

from dcmon.storage.columns import TAKEN_NAMES
from tests.conftest import Acme
from tests.helpers.installed import Dcmon


def test_features_with_taken_names_are_created_and_stored(
    with_url: Callable[[str], Dcmon], database_url: str, acme: Acme, tmp_path: Path
) -> None:
    """PostgreSQL has system columns of these names, and dcmon's tables have a column `revision`."""
    dcmon, names = with_url(database_url), sorted(TAKEN_NAMES)
    features = [argument for name in names for argument in ("--feature", f"{name}:numeric")]
    done = dcmon("model", "create", "odd", "--task", "binary", "--version", "v1", *features)
    assert done.returncode == 0, done.stderr
    own = {name: float(number) for number, name in enumerate(names)}
    path = tmp_path / "rows.jsonl"
    row = {"_dc_sample_id": "a", "_dc_time": "2026-03-01T00:00:00Z", "_dc_prediction": "1", **own}
    path.write_text(json.dumps(row) + "\n")
    assert dcmon("ingest", "file", str(path), "--model", "odd").returncode == 0
    (shown,) = dcmon.json("sample", "show", "a", "--model", "odd")
    assert {name: shown["row"][name] for name in names} == own
