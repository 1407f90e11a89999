"""Which texts need quotes in YAML, so that readers of YAML 1.1 and 1.2 read them as texts."""

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import yaml

STR_TAG = "tag:yaml.org,2002:str"
# Texts that some readers take for something else, beside those that PyYAML quotes itself. Numbers, dates and times of
# day; numbers with exponents, and of other bases; values without an end or none; one-letter booleans; keys of YAML 1.1.
_OTHER_TYPES = re.compile(
    r"[-+.0-9_:,]+(?:[eE][-+]?[0-9_]+)?|[-+]?0[bBoOxX][0-9a-fA-F_]+|[-+]?\.(?:inf|nan)|"
    r"true|false|yes|no|on|off|null|y|n|~|=|<<|",
    re.IGNORECASE,
)


def is_ambiguous(text: str) -> bool:
    """Return True if a reader of YAML could take a text without quotes for a value of another type."""
    return _OTHER_TYPES.fullmatch(text) is not None


def represent(dumper: "yaml.SafeDumper", text: str) -> Any:
    """Represent a text for PyYAML: with quotes where a reader could take it for another type."""
    return dumper.represent_scalar(STR_TAG, text, style="'" if is_ambiguous(text) else None)
