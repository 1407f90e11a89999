#!/usr/bin/env bash
# Build the wheel, install it into an environment that has dcmon's dependencies but not its source, and try it there.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
python=$root/.venv/bin/python
rm -rf dist .venv-wheel
"$python" -m build --quiet --wheel --outdir dist .
"$python" -m venv .venv-wheel
# The dependencies are borrowed from .venv, all but the editable dcmon itself: 1.3 GB need no second copy.
site=$(.venv-wheel/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
"$python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))' > "$site/borrowed.pth"
.venv-wheel/bin/python -m pip install --quiet --no-deps --force-reinstall dist/dcmon-*.whl
elsewhere=$(mktemp -d)
trap 'rm -rf "$elsewhere"' EXIT
chmod 755 "$elsewhere"
cp -r tests pyproject.toml "$elsewhere"
cd "$elsewhere"
where=$("$root/.venv-wheel/bin/python" -c 'import dcmon; print(dcmon.__file__)')
[[ $where == "$root/.venv-wheel/"* ]] || { echo "the wheel is not what is imported: $where"; exit 1; }
DCMON_TEST_COMMAND=$root/.venv-wheel/bin/dcmon "$root/.venv-wheel/bin/python" -m pytest --rootdir "$elsewhere" \
    tests/acceptance/test_installation.py
