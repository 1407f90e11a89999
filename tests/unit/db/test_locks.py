"""Advisory locks: one module names every lock space."""

import re
from collections import Counter

from dcmon.db import MIGRATIONS, PACKAGE
from dcmon.db.locks import LockSpace

TAKES_LOCKS = re.compile(r"pg_(try_)?advisory")


def test_lock_spaces_have_different_numbers():
    """An enum makes a repeated number an alias, so the members are counted by name."""
    repeated = [number for number, n in Counter(LockSpace.__members__.values()).items() if n > 1]
    assert repeated == []


def test_only_the_locks_module_takes_advisory_locks():
    files = [*PACKAGE.rglob("*.py"), *PACKAGE.rglob("*.sql"), *MIGRATIONS.rglob("*.py")]
    assert len(files) > 100
    takers = [str(file.relative_to(PACKAGE.parent)) for file in files if TAKES_LOCKS.search(file.read_text())]
    assert takers == ["dcmon/db/locks.py"]
