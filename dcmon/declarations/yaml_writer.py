"""Write YAML with one style: the same data is always the same text, and readers of YAML 1.1 and 1.2 read the same."""

import re
from typing import Any

import yaml

from dcmon import yaml_text
from dcmon.declarations import yaml_reader

_BLANK_AT_END = re.compile(r"[ \t]$", re.MULTILINE)
_WIDTH = 1_000_000_000  # no line is folded


class _Dumper(yaml.SafeDumper):  # type: ignore[misc]
    """Writes lists below their keys with an indent, and no anchors."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: _Dumper, text: str) -> Any:
    is_shown = all(character.isprintable() or character == "\n" for character in text)
    if "\n" in text and is_shown and not text.startswith((" ", "\n")) and not _BLANK_AT_END.search(text):
        return dumper.represent_scalar(yaml_reader.STR_TAG, text, style="|")
    is_plain = is_shown and yaml_reader.is_text(text) and not yaml_text.is_ambiguous(text)
    return dumper.represent_scalar(yaml_reader.STR_TAG, text, style=None if is_plain else '"')


_Dumper.add_representer(str, _text)


def write(data: Any) -> str:
    """Return plain data as one YAML document."""
    written: str = yaml.dump(
        data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=_WIDTH, default_flow_style=False
    )
    return written
