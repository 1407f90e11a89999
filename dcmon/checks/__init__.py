"""Run checks: those of the catalogue with dcmon.statistics, users' own in processes that load deepchecks.

Only dcmon.checks.library and dcmon.checks.worker load deepchecks, which takes seconds to import.
"""

import os

# deepchecks reads these when it is imported. Without them it sends telemetry, and writes into its own package.
os.environ["DISABLE_DEEPCHECKS_ANONYMOUS_TELEMETRY"] = "true"
os.environ["DISABLE_LATEST_VERSION_CHECK"] = "true"
# Each check worker is a process that uses one core: more threads of the numeric libraries would only slow it down.
os.environ["OPENBLAS_NUM_THREADS"] = "1"
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["MKL_NUM_THREADS"] = "1"
