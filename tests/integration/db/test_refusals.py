"""What PostgreSQL refuses because of a value becomes an error for the client, not a failure of dcmon."""

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from dcmon import db, errors


@pytest.mark.parametrize("expression", ["cast('x' as integer)", "1 / 0", "repeat('x', 2000000000)"])
def test_value_that_can_not_be_used_is_refused(engine: Engine, expression: str) -> None:
    with pytest.raises(DBAPIError) as raised, db.public_session(engine) as session:
        session.execute(text(f"select {expression}"))
    assert isinstance(db.to_refusal(raised.value), errors.InvalidInput)
