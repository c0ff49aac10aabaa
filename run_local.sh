#!/usr/bin/env bash
# The whole job on this machine: features, training, captions, scores. Everything goes to out/.
#
#     ./run_local.sh                                             on scenes that the project draws itself
#     ./run_local.sh --images DIR --captions FILE [--splits DIR] on your own
#
# More options: --captions-format F, --encoder-weights imagenet|PATH|none, --epochs N, --output DIR.
# Run it again and it does only what is missing.
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"

fail() {
    echo "error: $1" >&2
    exit 2
}

images="" captions="" splits="" out="$here/out" format="" weights="" epochs=""
while [ $# -gt 0 ]; do
    case "$1" in
        -h | --help) sed -n '2,8s/^# \{0,1\}//p' "$0"; exit 0 ;;
        --images | --captions | --splits | --output | --captions-format | --encoder-weights | --epochs) ;;
        *) fail "unknown option $1 (see ./run_local.sh --help)" ;;
    esac
    [ $# -gt 1 ] || fail "$1 needs a value"
    case "$1" in
        --images) images="$2" ;;
        --captions) captions="$2" ;;
        --splits) splits="$2" ;;
        --output) out="$2" ;;
        --captions-format) format="$2" ;;
        --encoder-weights) weights="$2" ;;
        --epochs) epochs="$2" ;;
    esac
    shift 2
done
if [ -n "$images" ] && [ -z "$captions" ]; then fail "--images needs --captions FILE: what to learn from"; fi
if [ -z "$images" ] && [ -n "$captions$splits" ]; then fail "--captions and --splits need --images DIR"; fi

source "$here/scripts/environment.sh"

say() { printf '\n== %s\n' "$1"; }

extract() {
    captioner extract --input "$images" --captions "$captions" ${splits:+--splits "$splits"} \
        ${format:+--captions-format "$format"} --output "$out/features" "$@"
}

if [ -n "$images" ]; then
    say "features of your images"
    extract ${weights:+--encoder-weights "$weights"}
    recipe=(${epochs:+--epochs "$epochs"})
else
    say "drawing scenes: two things each, and five captions that say what, which colour, which size, where"
    captioner scenes --output "$out/scenes"
    images="$out/scenes/Flicker8k_Dataset" captions="$out/scenes/Flickr8k.token.txt" splits="$out/scenes"
    # An early layer, whose filters see lines and colours: enough for drawings, also untrained.
    early=(--encoder-layer block3_pool --features grid --grid-size 9 --image-size 149)
    say "features of the scenes"
    if [ -z "$weights" ]; then
        weights=imagenet
        if ! python -c 'from captioner import encoders; encoders.create("xception")' >/dev/null 2>&1; then
            echo "Keras can't download its ImageNet weights here. The demo goes on with UNTRAINED filters,"
            echo "drawn at random. For drawings that is enough; for photos get the weights, or give a"
            echo "file of them with --encoder-weights PATH."
            weights=none
        fi
    fi
    extract --encoder-weights "$weights" "${early[@]}"
    # Five captions say the same in other words: which of them the model prefers says less about it
    # than the loss of all of them.
    recipe=(--epochs "${epochs:-14}" --units 128 --label-smoothing 0.05 --learning-rate 0.002
        --min-count 1 --averaging 0.99 --keep-by loss)
    unseen=(--split test)
fi

say "training"
captioner train --features "$out/features" --output "$out/model" ${recipe[@]+"${recipe[@]}"}
say "captions"
captioner caption --input "$out/features" --model "$out/model" --output "$out/captions" \
    ${unseen[@]+"${unseen[@]}"}
say "what came out"
captioner evaluate --captions "$out/captions" --references "$captions" ${splits:+--splits "$splits"} \
    ${format:+--references-format "$format"}
cat <<END

features   $out/features
model      $out/model      (curves.png shows how training went)
captions   $out/captions/shards/*.jsonl
Caption another image:  captioner caption IMAGE --model $out/model      (after: source $here/.venv/bin/activate)
END
