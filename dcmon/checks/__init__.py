"""Run checks: the catalogue, the only door to deepchecks, and the worker processes around it.

Only `dcmon.checks.runner` loads deepchecks: catalogue, defaults and dataset schema are quick to import.
"""

import os

# deepchecks reads these once, when it is imported: without them it calls home and writes into its own package.
os.environ["DISABLE_DEEPCHECKS_ANONYMOUS_TELEMETRY"] = "true"
os.environ["DISABLE_LATEST_VERSION_CHECK"] = "true"
# One evaluation is one process: threads of the numeric libraries would only fight over its core.
os.environ["OPENBLAS_NUM_THREADS"] = "1"
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["MKL_NUM_THREADS"] = "1"
