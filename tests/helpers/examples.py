"""How many examples hypothesis tries: the profiles `quick` (make test) and `thorough` (make test-thorough)."""

import hypothesis

QUICK, THOROUGH = 100, 1000

# No deadline: on a busy machine an example may take long, and that is no fault.
hypothesis.settings.register_profile("quick", max_examples=QUICK, deadline=None)
hypothesis.settings.register_profile("thorough", max_examples=THOROUGH, deadline=None)
hypothesis.settings.load_profile("quick")  # pytest's option --hypothesis-profile comes after it


def examples(quick: int) -> int:
    """The number of examples for a test that tries `quick` of them in `make test`."""
    return quick * (hypothesis.settings.default or hypothesis.settings()).max_examples // QUICK
