"""The rules of the documentation: an index, links to headings that exist, and pages that a test follows."""

import ast
import re
import tomllib
from functools import cache
from pathlib import Path, PurePath

import pytest

from tests.acceptance.test_pages import FOLLOWED
from tests.helpers.followed_page import Step, pattern_of, steps_of
from tests.helpers.paths import DOCS, ROOT

PAGES = sorted([*ROOT.glob("*.md"), *DOCS.glob("*.md")])
# Words that begin an instruction of a Dockerfile, as its reference lists them.
INSTRUCTIONS = {"FROM", "WORKDIR", "COPY", "RUN", "USER", "ENV", "EXPOSE", "ENTRYPOINT", "CMD"}


@cache
def anchors(page: Path) -> set[str]:
    """Return the anchors of the headings of a page, as GitHub makes them."""
    without_code = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    titles = re.findall(r"^#+ (.+)$", without_code, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_to_headings_have_a_target(page: Path) -> None:
    links = re.findall(r"\]\((?!https?://)([^)#]*)#([^)]+)\)", page.read_text())
    assert [
        f"{target}#{anchor}"
        for target, anchor in links
        if anchor not in anchors((page.parent / target).resolve() if target else page)
    ] == []


def test_no_page_has_the_marks_of_a_merge() -> None:
    marks = re.compile(r"^(<<<<<<<|=======$|>>>>>>>)", re.MULTILINE)
    assert [page.name for page in PAGES if marks.search(page.read_text())] == []


def test_index_lists_every_page_once() -> None:
    linked = re.findall(r"\]\(([\w-]+\.md)\)", (DOCS / "README.md").read_text())
    assert sorted(linked) == sorted(page.name for page in DOCS.glob("*.md") if page.name != "README.md")


def test_pages_by_task_are_followed_by_a_test() -> None:
    tasks = (DOCS / "README.md").read_text().partition("## By task")[2].partition("\n## ")[0]
    assert set(re.findall(r"\]\(([\w-]+\.md)\)", tasks)) <= set(FOLLOWED)


@pytest.mark.parametrize("name", FOLLOWED)
def test_followed_page_has_steps_and_known_marks(name: str) -> None:
    assert any(step.command for step in steps_of((DOCS / name).read_text()))


def test_console_block_is_commands_with_their_output() -> None:
    page = "# A\n\n<!-- exit 1, repeat -->\n```console\n$ dcmon a \\\n    b\n17  …\n$ dcmon c\n```\n"
    assert list(steps_of(page)) == [
        Step(5, "dcmon a \\\n    b", "17  …", 1, True),
        Step(8, "dcmon c", "", 1, True),
    ]


def test_block_without_prompts_is_one_command_a_line() -> None:
    page = (
        "```console\ndcmon a   # why\ndcmon b\n```\n\n<!-- file a.py -->\n```python\nprint()\n```\n\n```json\n{}\n```\n"
    )
    assert list(steps_of(page)) == [
        Step(2, "dcmon a   # why"),
        Step(3, "dcmon b"),
        Step(8, shown="print()\n", file="a.py"),
    ]


def test_unknown_mark_of_a_block_is_refused() -> None:
    with pytest.raises(ValueError, match="no mark 'exits 1'"):
        list(steps_of("<!-- exits 1 -->\n```console\ndcmon a\n```\n"))


@pytest.mark.parametrize(
    ("shown", "printed"),
    [
        ("id  … since\n…\n2", "id   severity   since\n1\n2"),
        ("since 2026-03-01 10:00", "since  2027-01-31 23:59"),
        ("…\nlast", "first\nsecond\nlast"),
        ("a\n…\nb", "a\nb"),
        ("────", "─────────"),
    ],
)
def test_shown_output_matches_with_its_wildcards(shown: str, printed: str) -> None:
    assert pattern_of(shown).fullmatch(printed)
    assert not pattern_of(shown).fullmatch(f"{printed}\nmore")


def test_dockerfile_copies_what_exists_and_starts_dcmon() -> None:
    text = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
    lines = [line.split() for line in text.splitlines() if line and not line.startswith("#")]
    assert {line[0] for line in lines} <= INSTRUCTIONS
    sources = [word for line in lines if line[0] == "COPY" and "--from=build" not in line for word in line[1:-1]]
    assert [source for source in sources if not (ROOT / source).exists()] == []
    assert 'ENTRYPOINT ["dcmon"]' in text
    assert lines[0][0] == "FROM"


def test_dockerfile_copies_all_that_the_wheel_packs() -> None:
    """hatchling leaves out `shared-data` that is missing, without a word: the image had no man pages."""
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    included = {pattern.strip("/").removesuffix("/*.md") for pattern in wheel["include"]}
    packed = {*included, *wheel["force-include"], *wheel["shared-data"]}
    copied = re.findall(r"^COPY (\S+) \1$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert {source for source in packed if not any(PurePath(source).is_relative_to(name) for name in copied)} == set()
    left_out = (ROOT / ".dockerignore").read_text().split()
    assert [source for source in packed if any(PurePath(source).is_relative_to(name) for name in left_out)] == []


@cache
def _messages() -> tuple[str, ...]:
    """Return the texts in the code of dcmon; a field of a text is `…`, and blanks are single."""
    texts = []
    for path in (ROOT / "dcmon").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.JoinedStr):
                parts = [part.value if isinstance(part, ast.Constant) else "…" for part in node.values]
                texts.append("".join(map(str, parts)))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                texts.append(re.sub(r"\{[^{}]*\}", "…", node.value))
    return tuple(" ".join(text.split()) for text in texts)


def _quoted() -> list[str]:
    return re.findall(r"\*\*`([^`]+)`\*\*", (DOCS / "troubleshooting.md").read_text())


def test_messages_of_troubleshooting_are_in_the_code() -> None:
    """What stands between the `…` of a message is in one text of the code, in this order."""
    patterns = {message: re.compile(".*?".join(map(re.escape, message.split("…")))) for message in _quoted()}
    assert len(patterns) > 40
    assert [message for message, pattern in patterns.items() if not any(map(pattern.search, _messages()))] == []


def test_messages_of_troubleshooting_have_words_to_search() -> None:
    """A pattern of nothing but names would be found anywhere."""
    assert [message for message in _quoted() if max(len(part.split()) for part in message.split("…")) < 3] == []
