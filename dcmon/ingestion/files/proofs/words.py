"""Words for null in columns where they may be a category too: NA, as R writes it, or Namibia."""

import re
from collections.abc import Iterable, Iterator

from dcmon.ingestion.files.proofs.findings import Question, TextBlock, escaped
from dcmon.ingestion.values.rules import ProofText

_WORDS = re.compile(r"^(?:NA|N/A|#N/A|#NV|<NA>|NULL|null|NaN|nan|None|NaT)$", re.MULTILINE)


def questions(blocks: Iterable[TextBlock]) -> Iterator[Question]:
    """Ask whether a word of a text column means null: about each word once."""
    asked = set[str]()
    for block in blocks:
        for match in _WORDS.finditer(block.lines):
            if (word := match[0]) in asked:
                continue
            asked.add(word)
            example = block.example(ProofText(word, block.lines.count("\n", 0, match.start())))
            option = f"--null '{word}'" if re.search(r"\W", word) else f"--null {word}"
            template = f"{escaped(block.field)} has {{}}, which is a word like others. If it means null, give {option}."
            yield Question(template, [example])
