"""The commands of docs/from-a-file.md lead a newcomer from a CSV to the first values."""

import re
import shlex

from tests.helpers.installed import Dcmon
from tests.helpers.paths import ROOT
from tests.helpers.waiting import eventually

PAGE = ROOT / "docs" / "from-a-file.md"


def commands() -> list[list[str]]:
    """Return the commands of the page's first block, with paths of this machine."""
    match = re.search(r"```console\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert match is not None
    lines = match[1].replace("docs/examples", str(ROOT / "docs" / "examples")).splitlines()
    return [shlex.split(line)[1:] for line in lines]


def test_three_commands_lead_to_the_first_values(dcmon: Dcmon) -> None:
    """README has the same commands."""
    *start, create, ingest, look = commands()
    readme = (ROOT / "README.md").read_text()
    for command in (create, ingest, look):
        assert shlex.join(command).replace(str(ROOT) + "/", "") in readme
    for command in (*start, create, ingest):
        done = dcmon(*command)
        assert done.returncode == 0, done.stderr

    def states() -> set[str]:
        return {row["state"] for row in dcmon.json(*look)}

    assert eventually(lambda: states() == {"OK"}, every=0.5)
    last = {row["monitor"]: row["last"] for row in dcmon.json(*look)}
    assert 0.5 < last["flights/Performance"] < 1
    assert last["flights/Aggregated Feature Drift"] > 0
