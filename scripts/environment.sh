# Sourced by the scripts beside README.md: makes .venv with what the project needs and puts it on PATH.
# Says nothing and takes no time where that has been done already.
#
#     source scripts/environment.sh [test]      "test" adds what the tests need

_root="$(cd "$(dirname "${BASH_SOURCE[0]:-$0}")/.." && pwd)"

_find_python() {
    local candidate
    for candidate in "${PYTHON:-}" python3.11 python3.12 python3; do
        if [ -n "$candidate" ] && "$candidate" -c \
            'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null
        then
            echo "$candidate"
            return
        fi
    done
    echo "error: Python 3.11 or 3.12 with its venv module is needed; install it, or name it with PYTHON=..." >&2
    return 1
}

_prepare_environment() {
    local requirements="$_root/requirements.txt" python wanted
    [ "${1:-}" = test ] && requirements="$_root/requirements-test.txt"
    wanted="$(cat "$_root/setup.py" "$_root/requirements.txt" "$requirements" | cksum) $_root"
    if [ "$(cat "$_root/.venv/$(basename "$requirements")" 2>/dev/null)" != "$wanted" ]; then
        python="$(_find_python)" || return
        echo "installing into .venv (once; TensorFlow and Beam are about 2 GB)" >&2
        "$_root/.venv/bin/python" -m pip --version >/dev/null 2>&1 ||
            "$python" -m venv --clear "$_root/.venv" || return
        "$_root/.venv/bin/python" -m pip install --quiet --disable-pip-version-check \
            -r "$requirements" || return
        "$_root/.venv/bin/python" -m pip install --quiet --disable-pip-version-check \
            --no-deps --editable "$_root" || return
        echo "$wanted" > "$_root/.venv/$(basename "$requirements")"
    fi
    export PATH="$_root/.venv/bin:$PATH"
}

_prepare_environment "$@"
