#!/usr/bin/env bash
# Training on a Cloud TPU: asks for a TPU VM, trains on it, and gives it back, however that ends.
#
#     deploy/training/tpu.sh PROJECT ZONE gs://FEATURES gs://MODEL [ARGUMENT…]       further arguments go to `captioner train`
#
# The VM is of one host with eight cores. TPU_TYPE and TPU_RUNTIME (by default v5litepod-8 and v2-alpha-tpuv5-lite) choose
# another one; SPOT=1 is cheaper, and where the VM is taken away the same command goes on.
# On the VM captioner runs in a container of Python 3.11, with the versions of requirements.txt but for TensorFlow, which is
# tensorflow-tpu of the same version. Its libtpu comes from Google's own index, which the VM must be able to reach.
set -euo pipefail
cd "$(dirname "$0")/../.."
if [ $# -lt 4 ]; then
    echo "error: give PROJECT ZONE gs://FEATURES gs://MODEL (see the head of deploy/training/tpu.sh)" >&2
    exit 2
fi
name="captioner-train-$(date +%Y%m%d-%H%M%S)" # of its own: what is given back is never another one's
where=("--project=$1" "--zone=$2")
train=(captioner train "--features=$3" "--output=$4" --strategy=tpu "${@:5}")
index=https://storage.googleapis.com/libtpu-tf-releases/index.html

package="$(mktemp -d)"
asked=
give_back() {
    rm -r "$package"
    [ -z "$asked" ] || gcloud compute tpus queued-resources delete "$name" "${where[@]}" --force --quiet
}
trap give_back EXIT

cp -r captioner pipelines setup.py pyproject.toml README.md "$package"
# tensorflow-io is for s3:// alone, and wants the TensorFlow that is not there.
sed -E '/^tensorflow-io==/d; s/^tensorflow==/tensorflow-tpu==/' requirements.txt > "$package/requirements.txt"
cat > "$package/train.sh" <<END
set -e
pip install --quiet --find-links $index -r /package/requirements.txt
pip install --quiet --no-deps /package
# A v5e needs TensorFlow's newer way to devices, and TPU_NAME says that the TPU is this machine's own.
export NEXT_PLUGGABLE_DEVICE_USE_C_API=true TPU_NAME=local
export TF_PLUGGABLE_DEVICE_LIBRARY_PATH="\$(find /usr/local/lib -name libtpu.so)"
exec $(printf '%q ' "${train[@]}")
END

asked=yes # from here on there may be something to give back
gcloud compute tpus queued-resources create "$name" "${where[@]}" --node-id="$name" \
    --accelerator-type="${TPU_TYPE:-v5litepod-8}" --runtime-version="${TPU_RUNTIME:-v2-alpha-tpuv5-lite}" \
    --scopes=https://www.googleapis.com/auth/cloud-platform ${SPOT:+--spot}
echo "waiting for the TPU, which may take hours" >&2
state=
while [ "$state" != ACTIVE ]; do
    [ -z "$state" ] || sleep "${POLL_SECONDS:-30}"
    state="$(gcloud compute tpus queued-resources describe "$name" "${where[@]}" --format='value(state.state)')"
    case "$state" in
        FAILED | SUSPENDING | SUSPENDED) echo "error: the TPU is $state, not ACTIVE" >&2; exit 1 ;;
    esac
done
gcloud compute tpus tpu-vm scp --recurse "$package" "$name:captioner-package" "${where[@]}"
gcloud compute tpus tpu-vm ssh "$name" "${where[@]}" --command="sudo docker run --rm --privileged --net=host \
    --volume=\"\$HOME/captioner-package:/package\" python:3.11-slim-bookworm bash /package/train.sh"
