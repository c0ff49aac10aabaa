#!/usr/bin/env bash
# The whole job on this machine: features, training, captions, scores. Everything goes to out/.
#
#     ./run_local.sh                                                       on scenes that the project draws itself
#     ./run_local.sh --images DIR --captions FILE --splits DIR [options]   on your own
#
# Options: --captions-format F, --encoder-weights PATH|imagenet|none, --epochs N, --output DIR.
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"

images="" captions="" splits="" out="$here/out"
extract=() train=()
while [ $# -gt 0 ]; do
    if [ $# -eq 1 ] || [[ "$1" != --* ]]; then
        sed -n '2,7s/^# \{0,1\}//p' "$0"
        [ "$1" = --help ] && exit 0
        echo "error: $1 needs a value, or is no option" >&2
        exit 2
    fi
    case "$1" in
        --images) images="$2" ;;
        --captions) captions="$2" ;;
        --splits) splits="$2" ;;
        --output) out="$2" ;;
        --captions-format | --encoder-weights) extract+=("$1" "$2") ;;
        --epochs) train+=("$1" "$2") ;;
        *) echo "error: unknown option $1 (see ./run_local.sh --help)" >&2; exit 2 ;;
    esac
    shift 2
done
if [ -n "$images" ] && [ -z "$captions" ]; then
    echo "error: --images needs --captions FILE too: what to learn from" >&2
    exit 2
fi

source "$here/scripts/environment.sh"
