"""Follow a page of the documentation as a reader does: type its commands, in order, in one directory.

Blocks marked `console` are typed. A line that begins with `$ ` is a command, and the lines below it are what it prints,
where `…` stands for any text and a line `…` for any lines; times may differ. Without `$ ` each line is a command.
Other blocks are read only. A comment in HTML before a block, which readers don't see, says more:

- `<!-- file NAME -->`: the block is a file that the reader writes;
- `<!-- repeat -->`: repeat each command until it ends with its exit code and prints what is shown;
- `<!-- exit 1 -->`: the exit code of each command, otherwise 0;
- `<!-- not followed: REASON -->`: the block needs what a test does not have.
"""

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.helpers.waiting import PATIENCE, eventually

BLOCK = re.compile(
    r"^(?:<!-- (?P<marks>[^>]*?) -->\n+)?```(?P<language>\w*)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL
)
MARK = re.compile(r"file \S+|repeat|exit \d+|not followed: .+")
TIME = re.compile(r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:\d\d)?)?")
# A terminal of 80 characters names the columns that it hides after a table; a page may leave this out.
HIDDEN_COLUMNS = re.compile(r"^Not shown in this width: .*\n?", re.MULTILINE)
TOKEN = re.compile(r"dcm_[\w-]{20,}")
# Variables and the directory of a command are those of the next one, as in one shell.
SHELL = '[ ! -e {state} ] || . {state}; cd "$PWD" && {{ {command}\n}}; code=$?; export -p > {state}; exit $code'


@dataclass(frozen=True)
class Step:
    """One command of a page, or a file (then the command is empty) that a reader writes."""

    line: int
    command: str = ""
    shown: str = ""
    exit_code: int = 0
    is_repeated: bool = False
    file: str = ""


def steps_of(page: str) -> Iterator[Step]:
    """Yield what the reader of a page does. Raises ValueError for a mark that does not exist."""
    for block in BLOCK.finditer(page):
        marks = [mark for mark in (block["marks"] or "").split(", ") if mark]
        if unknown := [mark for mark in marks if not MARK.fullmatch(mark)]:
            raise ValueError(f"There is no mark {unknown[0]!r}.")
        if any(mark.startswith("not followed") for mark in marks):
            continue
        line = page.count("\n", 0, block.start("body")) + 1
        if files := [mark.removeprefix("file ") for mark in marks if mark.startswith("file ")]:
            yield Step(line, shown=block["body"], file=files[0])
        elif block["language"] == "console":
            code = next((int(mark.removeprefix("exit ")) for mark in marks if mark.startswith("exit ")), 0)
            for offset, command, shown in _commands(block["body"]):
                yield Step(line + offset, command, shown, code, "repeat" in marks)


def _commands(body: str) -> Iterator[tuple[int, str, str]]:
    """Yield the line, the command and what it prints of each command of a block."""
    has_output = body.startswith("$ ")
    starts = re.compile(r"^\$ ((?:.*\\\n)*.*)\n" if has_output else r"^((?:.*\\\n)*.+)\n", re.MULTILINE)
    found = list(starts.finditer(body))
    for command, following in zip(found, [*found[1:], None], strict=True):
        end = following.start() if following else len(body)
        yield body.count("\n", 0, command.start()), command[1], body[command.end() : end].strip("\n")


def pattern_of(shown: str) -> re.Pattern[str]:
    """Return the pattern of an output: any text for `…`, any time for a time, any width of columns."""
    lines = [_line_pattern(line) for line in shown.splitlines()]
    return re.compile("\n".join(lines).replace("\n<lines>", "(?:\n.*)*?").replace("<lines>", "(?:.*\n)*?.*"))


def _line_pattern(line: str) -> str:
    if line.strip() == "…":
        return "<lines>"
    words = [_word_pattern(word) for word in TIME.sub("<time>", line).split()]
    return r"\s*" + r"[^\S\n]+".join(words) + r"[^\S\n]*"


def _word_pattern(word: str) -> str:
    if set(word) == {"─"}:
        return "─+"
    return ".*?".join(map(re.escape, word.split("…"))).replace("<time>", TIME.pattern)


@dataclass
class Reader:
    """Someone who follows a page in an own directory, with settings in the environment."""

    directory: Path
    environment: dict[str, str]
    endpoint: str
    patience: float = PATIENCE  # seconds for a command
    transcript: list[str] = field(default_factory=list)
    token: str = "dcm_…"

    def follow(self, page: Path) -> None:
        """Do all steps of a page. Raises AssertionError, with what was typed last, at the first that differs."""
        for step in steps_of(page.read_text()):
            if step.file:
                (self.directory / step.file).write_text(self._own(step.shown))
            elif not self._is_done(step):
                raise AssertionError(f"{page.name}:{step.line}\n" + "\n".join(self.transcript[-8:]))

    def _own(self, text: str) -> str:
        """Put the endpoint and the token of this reader in place of those of the page."""
        address = self.endpoint.removeprefix("http://")
        return text.replace("127.0.0.1:8000", address).replace("dcm_…", self.token)

    def _is_done(self, step: Step) -> bool:
        if step.is_repeated:
            return eventually(lambda: self._is_right(step), every=0.5)
        return self._is_right(step)

    def _is_right(self, step: Step) -> bool:
        """Type a command. Return True if its exit code and its output are those of the page."""
        command = self._own(step.command)
        done = subprocess.run(
            ["bash", "-c", SHELL.format(state=self.directory.with_suffix(".variables"), command=command)],
            cwd=self.directory, env=self.environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, timeout=self.patience, check=False,
        )  # fmt: skip
        self.transcript += [
            f"$ {command}",
            done.stdout[-2000:],
            f"exit code {done.returncode}; {step.exit_code} and:",
            step.shown,
        ]
        if token := TOKEN.search(done.stdout):
            self.token = token[0]
        printed = "\n".join(line.rstrip() for line in done.stdout.strip("\n").splitlines())
        pattern = pattern_of(step.shown)
        is_shown = any(pattern.fullmatch(text) for text in (printed, HIDDEN_COLUMNS.sub("", printed).strip("\n")))
        return done.returncode == step.exit_code and (not step.shown or is_shown)
