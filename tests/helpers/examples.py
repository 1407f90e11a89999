"""How many examples hypothesis tries: the profiles `quick` (make test) and `thorough` (make test-thorough)."""

import hypothesis
from hypothesis import HealthCheck

QUICK, THOROUGH = 100, 1000

# On a busy machine an example may take long, and that is no fault. The other check is about fixtures that are shared by
# the examples of a test, as ours are meant to be.
NOT_CHECKED = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
for name, most in (("quick", QUICK), ("thorough", THOROUGH)):
    hypothesis.settings.register_profile(name, max_examples=most, deadline=None, suppress_health_check=NOT_CHECKED)
hypothesis.settings.load_profile("quick")  # pytest's option --hypothesis-profile comes after it


def examples(quick: int) -> int:
    """The number of examples for a test that tries `quick` of them in `make test`."""
    return quick * (hypothesis.settings.default or hypothesis.settings()).max_examples // QUICK
