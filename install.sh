#!/bin/sh
# Create .venv and install the project and its development tools into it: `make` calls this once, and again
# whenever pyproject.toml or constraints.txt changes. Everything noisy goes to .venv/install.log.
set -u
cd "$(dirname "$0")" || exit 2
venv=.venv
log=$venv/install.log

fail() {
    echo "error: $1" >&2
    exit 2
}

# A command of that name may exist and still not run (version managers leave such stubs), so each one is tried.
find_python() {
    for candidate in ${PYTHON:-} python3.13 python3.12 python3.11 python3.14 python3 python; do
        if "$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
            echo "$candidate"
            return 0
        fi
    done
    return 1
}

if ! "$venv/bin/python" -c 'import sys, pip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
    python=$(find_python) || fail "Python 3.11 or newer (with its venv module) is needed and was not found; \
install it, or name it: make PYTHON=/path/to/python3"
    echo "setting up $venv with $("$python" -V 2>&1)"
    "$python" -m venv --clear "$venv" >/dev/null 2>&1 || fail "$python cannot create $venv here (disk full, or no right to write?)"
fi

echo "installing packages into $venv (minutes the first time; details in $log)"
if ! "$venv/bin/python" -m pip install --disable-pip-version-check --retries 2 \
    --constraint constraints.txt --editable '.[dev]' >"$log" 2>&1; then
    # The first matching cause is told; the log has the rest.
    if grep -q -i 'no space left' "$log"; then
        fail "the disk is full; installing needs about 8 GB (log: $log)"
    elif grep -q -i -E 'NewConnectionError|ConnectTimeout|name resolution|Network is unreachable|Max retries|ProxyError|ReadTimeout|No route to host' "$log"; then
        fail "the package index cannot be reached; connect this machine to a network and try again (log: $log)"
    else
        fail "installing failed: $(grep -i '^error' "$log" | tail -n 1 | cut -c 1-200) (log: $log)"
    fi
fi
touch "$venv/.installed"
