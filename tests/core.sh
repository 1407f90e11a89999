#!/usr/bin/env bash
# Install dcmon alone, without extras, on the newest Python that is here, measure it, and run a part of the tests on it.
set -euo pipefail
cd "$(dirname "$0")/.."
limit=450   # MB that an installation may add to an empty environment, compiled modules included

newest_python() {
    local python
    for python in python3.13 "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.13.*/bin/python python3.12 python3.11; do
        if "$python" -c 'import ensurepip' 2>/dev/null; then
            echo "$python"
            return
        fi
    done
}

python=$PWD/.venv-core/bin/python
if [[ ! -e .venv-core/.ready || pyproject.toml -nt .venv-core/.ready ]]; then
    rm -rf .venv-core
    "$(newest_python)" -m venv .venv-core
    empty=$(du -sm .venv-core | cut -f 1)
    "$python" -m pip install --quiet .
    size=$(($(du -sm .venv-core | cut -f 1) - empty))
    echo "$("$python" --version): dcmon without extras takes $size MB of at most $limit."
    ((size <= limit)) || exit 1
    # The tests run on the sources, whose changes need no new installation.
    "$python" -m pip install --quiet --editable '.[test]'
    touch .venv-core/.ready
fi
! "$python" -c 'import deepchecks' 2>/dev/null || { echo "deepchecks is installed without its extra"; exit 1; }
exec "$python" -m pytest "$@"
