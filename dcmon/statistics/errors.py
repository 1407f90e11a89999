"""Why a statistic has no value."""


class StatisticsError(Exception):
    """A statistic has no value; the message says why in one sentence."""


class TooFewValues(StatisticsError):
    """A side has fewer values than the check's min_samples."""


class InvalidParameter(StatisticsError):
    """A parameter of a check has a value that the check does not know."""


class Undefined(StatisticsError):
    """The rows do not determine the statistic: its formula divides by zero, or needs rows of another class."""


class Untrusted(StatisticsError):
    """An estimate would rest on an assumption that the reference rows contradict."""
