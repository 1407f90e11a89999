"""An evaluate worker without users' own checks loads numpy, and no larger package of statistics."""

import subprocess
import sys

import pytest

HEAVY = frozenset({"pandas", "sklearn", "scipy", "deepchecks", "matplotlib", "plotly"})
MODULES = ("dcmon.jobs.evaluate", "dcmon.checks.evaluator", "dcmon.checks.runner")


@pytest.mark.parametrize("module", [*MODULES, "dcmon.statistics.scorers"])
def test_evaluation_loads_no_heavy_package(module: str) -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", f"import {module}"],
        stderr=subprocess.PIPE,
        text=True,
        check=True,
        timeout=300,
    )
    loaded = {line.rsplit("|", 1)[-1].strip().partition(".")[0] for line in done.stderr.splitlines()}
    assert "numpy" in loaded
    assert not HEAVY & loaded
