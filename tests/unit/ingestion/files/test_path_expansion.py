"""The files that paths, directories and patterns name: which are loaded, in which order, with which columns."""

import os
from pathlib import Path, PurePath

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dcmon import errors, file_errors
from dcmon.ingestion.files import path_columns, path_expansion, path_pattern
from dcmon.ingestion.files.path_columns import HIVE_NULL, PathColumn
from dcmon.ingestion.files.path_expansion import Expansion
from tests.helpers.examples import examples


def create(root: Path, *paths: str) -> None:
    """Write files with a byte; a path that ends with "/" is a folder."""
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        if path.endswith("/"):
            (root / path).mkdir(exist_ok=True)
        else:
            (root / path).write_text("x")


def found(root: Path, *paths: str, format: str | None = None) -> list[str]:
    """Return the found files, without the path of the root."""
    return [os.path.relpath(file.path, root) for file in expanded(root, *paths, format=format).files]


def expanded(root: Path, *paths: str, format: str | None = None) -> Expansion:
    return path_expansion.expand([str(root / path) for path in paths], format)


def test_directory_of_spark_has_its_part_files(tmp_path: Path) -> None:
    """Markers, checksums, metadata and hidden files are left alone."""
    parts = [f"country={country}/part-00000-{country}.c000.snappy.parquet" for country in ("DE", "FR", HIVE_NULL)]
    create(tmp_path, *parts, "_SUCCESS", "._SUCCESS.crc", "_metadata", "_common_metadata", "_SUCCESS.csv")
    create(
        tmp_path, "country=DE/.part-00000-DE.c000.snappy.parquet.crc", ".hidden/part-00000.csv", "_old/part-00000.csv"
    )

    found_files = expanded(tmp_path, "").files

    assert [os.path.relpath(file.path, tmp_path) for file in found_files] == parts
    assert [file.columns for file in found_files] == [
        {"country": PathColumn(text, True)} for text in ("DE", "FR", None)
    ]
    assert expanded(tmp_path, "").remarks == []


def test_each_file_is_found_once_in_sorted_order(tmp_path: Path) -> None:
    create(tmp_path, "b.csv", "a.jsonl", "z/c.parquet", "a/d.csv.gz", "notes.txt")
    (tmp_path / "link.csv").symlink_to(tmp_path / "b.csv")

    assert found(tmp_path, "b.csv", "", "*.csv", "z/../b.csv") == ["b.csv", "a.jsonl", "a/d.csv.gz", "z/c.parquet"]
    (remark,) = expanded(tmp_path, "").remarks
    assert remark == f"{tmp_path}: other files are not loaded (1 .txt)."


@pytest.mark.parametrize(
    ("pattern", "files"),
    [
        ("in/2026-*.csv", ["in/2026-01.csv", "in/2026-02.csv"]),
        ("in/2026-0[12].*", ["in/2026-01.csv", "in/2026-02.csv", "in/2026-02.parquet"]),
        ("in/2026-0?.parquet", ["in/2026-02.parquet"]),
        ("**/*.csv", ["in/2026-01.csv", "in/2026-02.csv", "in/deep/er/x.csv", "in/odd[1].csv", "top.csv"]),
        ("in/**", ["in/2026-01.csv", "in/2026-02.csv", "in/2026-02.parquet", "in/deep/er/x.csv", "in/odd[1].csv"]),
        ("in/**/er/*", ["in/deep/er/x.csv"]),
        ("i*/d*", ["in/deep/er/x.csv"]),
        ("in/odd[1].csv", ["in/odd[1].csv"]),
        ("in/.*.csv", ["in/.hidden.csv"]),
    ],
)
def test_pattern_names_files_and_directories(tmp_path: Path, pattern: str, files: list[str]) -> None:
    """A file that exists under the name is no pattern; `*` names no hidden file."""
    create(tmp_path, "in/2026-01.csv", "in/2026-02.csv", "in/2026-02.parquet", "in/deep/er/x.csv", "top.csv")
    create(tmp_path, "in/odd[1].csv", "in/.hidden.csv", "in/_tmp/y.csv", "in/2026-01.txt")
    assert found(tmp_path, pattern) == files


def test_pattern_has_columns_below_its_first_wildcard(tmp_path: Path) -> None:
    create(tmp_path, "run=7/country=DE/a.csv")
    (file,) = expanded(tmp_path, "run=7/*/a.csv").files
    assert file.columns == {"run": PathColumn("7", False), "country": PathColumn("DE", True)}
    (file,) = expanded(tmp_path, "run=7/country=DE/a.csv").files
    assert file.columns == {"run": PathColumn("7", False), "country": PathColumn("DE", False)}


PATTERNS = st.lists(st.sampled_from(["a", "*", "**", "?", "b*", "[a-c].csv", "*.csv"]), min_size=1, max_size=4)


@settings(max_examples=examples(100), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(PATTERNS.map("/".join).filter(path_pattern.is_pattern))
def test_source_and_command_know_the_same_patterns(tmp_path: Path, pattern: str) -> None:
    """A source compares listed paths with a pattern; the command walks folders."""
    files = ["a.csv", "b/a.csv", "a/b/c.csv", "a/b/_tmp/c.csv", "a/a/a/a.csv", "bb/b.csv", "a/.b.csv"]
    create(tmp_path, *files)
    base, parts = path_pattern.split(pattern)
    visible = [file for file in files if not any(map(path_columns.is_hidden, file.split("/")))]
    below = [file for file in visible if not base or file.startswith(f"{base}/")]
    matching = [file for file in below if path_pattern.matches(PurePath(file).relative_to(base).parts, parts)]
    assert sorted(found(tmp_path, pattern)) == sorted(matching)


def test_links_may_form_a_loop(tmp_path: Path) -> None:
    """A real folder comes before the links to it, which have other columns in their path."""
    create(tmp_path, "dt=1/a.csv", "dt=2/b.csv")
    (tmp_path / "current").symlink_to(tmp_path / "dt=2")
    (tmp_path / "dt=1" / "up").symlink_to(tmp_path)
    assert found(tmp_path, "") == ["dt=1/a.csv", "dt=2/b.csv"]
    assert sorted(found(tmp_path, "**/*.csv")) == ["current/b.csv", "dt=1/a.csv"]


@pytest.mark.parametrize(
    ("files", "path", "format", "error", "sentence"),
    [
        ((), "", None, errors.InvalidInput, "The directory {} is empty."),
        (("a.orc", "b.orc", "c", "_SUCCESS"), "", None, errors.InvalidInput,
         "The directory {} has no file to load, only others (2 .orc, 1 without an ending, 1 hidden). dcmon reads csv,"),
        (("a.parquet",), "", "csv", errors.InvalidInput, "has no file to load, only others (1 .parquet)"),
        (("a.csv",), "no/*.csv", None, errors.NotFound, "There is no directory '{}/no'."),
        (("a.csv",), "*.parquet", None, errors.NotFound, "No file matches '{}/*.parquet'."),
        (("a.txt",), "*", None, errors.InvalidInput, "The format of {}/a.txt can't be told from its name."),
        (("a/part-00000.csv", "a/_temporary/"), "a", None, file_errors.DirectoryBeingWritten, "the directory {}/a."),
        (("k=1/part-00000.csv", ".spark-staging-7/"), "", None, file_errors.DirectoryBeingWritten, "the directory {}."),
    ],
)  # fmt: skip
def test_path_without_a_file_to_load_is_an_error(
    tmp_path: Path, files: tuple[str, ...], path: str, format: str | None, error: type, sentence: str
) -> None:
    create(tmp_path, *files)
    found_nothing = expanded(tmp_path, path, format=format)
    (raised,) = found_nothing.errors
    assert (found_nothing.files, type(raised)) == ([], error)
    assert sentence.format(tmp_path) in str(raised)


def test_bucket_is_a_source() -> None:
    (error,) = path_expansion.expand(["s3://acme/scores"]).errors
    assert "dcmon source create NAME s3://acme/scores --model MODEL" in str(error)


def test_directory_being_written_leaves_the_others(tmp_path: Path) -> None:
    create(tmp_path, "old/part-00000.csv", "old/_SUCCESS", "new/k=1/part-00000.csv", "new/_temporary/0/")
    create(tmp_path, "none/part-00000.csv")
    expansion = expanded(tmp_path, "")
    assert found(tmp_path, "") == ["none/part-00000.csv", "old/part-00000.csv"]
    assert [error.details["path"] for error in expansion.errors] == [str(tmp_path / "new")]
    (remark,) = expansion.remarks
    assert remark == f"{tmp_path}/none has no _SUCCESS. If Spark still writes it, repeat the command afterwards."


def test_format_reads_files_without_an_ending(tmp_path: Path) -> None:
    """A file whose name shows another format is not read in the wrong one, and an empty part has no row."""
    create(tmp_path, "part-00000", "part-00001.csv", "part-00002.parquet", "_SUCCESS")
    (tmp_path / "part-00003").touch()
    assert found(tmp_path, "", format="csv") == ["part-00000", "part-00001.csv"]
    assert found(tmp_path, "") == ["part-00001.csv", "part-00002.parquet"]


NAMES = st.text(st.characters(codec="utf-8", exclude_categories=("Cs",)), min_size=1)


@settings(max_examples=examples(50))
@given(NAMES.filter(lambda name: not name.startswith((".", "_"))), NAMES)
def test_path_columns_have_any_text(name: str, value: str) -> None:
    """Writers escape with %; a value that equals Hive's word for null is null."""
    from urllib.parse import quote

    folder = f"{quote(name, safe='')}={quote(value, safe='')}"
    assert path_columns.parse("lake", f"{folder}/a.csv") == {
        name: PathColumn(None if value == HIVE_NULL else value, True)
    }


def test_twice_or_undecodable_column_is_refused() -> None:
    with pytest.raises(errors.InvalidInput, match="column 'a' twice"):
        path_columns.parse("lake", "a=1/a=2/x.csv")
    with pytest.raises(errors.InvalidInput, match="not UTF-8"):
        path_columns.parse("lake", "a=%FF/x.csv")
    assert path_columns.parse("lake/a=%FF/x.csv") == {}
    assert path_columns.parse("lake", "=1/a=/x=1.csv") == {"a": PathColumn("", True)}
