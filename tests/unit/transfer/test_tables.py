"""Every table is in a file, or is left out for a reason."""

from hypothesis import given, settings
from hypothesis import strategies as st

from dcmon.db.tables import Org, Public
from dcmon.db.tables import org as _org  # noqa: F401
from dcmon.db.tables import public as _public  # noqa: F401
from dcmon.transfer import copy_text, tables
from tests.helpers.examples import examples

REVISION = "alembic_version"


def test_each_table_of_public_is_in_one_group() -> None:
    groups = [*tables.OF_ORGANIZATION, *tables.SHARED, *tables.NOT_BACKED_UP]
    assert sorted(groups) == sorted({REVISION, *Public.metadata.tables})


def test_named_tables_and_columns_exist() -> None:
    named = {
        **{table: {column} for table, column in {**tables.NUMBERED, **tables.USER_IDS}.items()},
        **{table: set(columns) for table, columns in {**tables.SECRETS, **tables.POSITIONS}.items()},
        **{table: set(columns) for table, columns in tables.WITHOUT_SECRETS.items()},
        **{table: set[str]() for table in tables.NOT_EXPORTED if table != REVISION},
    }
    for table, columns in named.items():
        assert columns <= {column.name for column in Org.metadata.tables[table].columns}, table


@settings(max_examples=examples(50))
@given(st.lists(st.one_of(st.none(), st.binary()), min_size=1, max_size=4))
def test_changed_fields_keep_all_other_values(values: list[bytes | None]) -> None:
    """A line is decoded and encoded without a loss, whichever bytes its values have."""
    line = b"\t".join(map(copy_text.encode, values)) + b"\n"
    names = [f"c{number}" for number in range(len(values))]
    assert [copy_text.decode(field) for field in line[:-1].split(b"\t")] == values
    assert copy_text.change_fields(names, {"c0": lambda value: value})(line + line) == line + line
