"""The number of hypothesis examples: profiles `quick` (make test), and `thorough` (make test-thorough).

Where the variable CI is set, each run takes the same examples, so that a change is judged by its own content. New
examples are searched for by everyone who runs the tests elsewhere.
"""

import os

import hypothesis
from hypothesis import HealthCheck

USUAL, QUICK, THOROUGH = 100, 50, 1000

# An example may be slow on a busy machine. The second health check concerns fixtures that all examples of a test share,
# which is intended here.
NOT_CHECKED = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
for name, most in (("quick", QUICK), ("thorough", THOROUGH)):
    hypothesis.settings.register_profile(
        name,
        max_examples=most,
        deadline=None,
        suppress_health_check=NOT_CHECKED,
        derandomize=bool(os.environ.get("CI")),
        database=None if os.environ.get("CI") else hypothesis.settings.default.database,
    )
hypothesis.settings.load_profile("quick")  # pytest's option --hypothesis-profile is applied later and has priority


def examples(usual: int) -> int:
    """Return the number of examples for a test that needs `usual` ones where others need hypothesis' own 100."""
    return max(1, usual * (hypothesis.settings.default or hypothesis.settings()).max_examples // USUAL)
