# The image that Dataflow's workers run, and that a flex template is launched from.
#
#     docker build --build-arg IMAGE="$IMAGE" --tag "$IMAGE" .
#     docker build --build-arg IMAGE="$IMAGE" --tag "$IMAGE" \
#         --build-arg TENSORFLOW='tensorflow[and-cuda]' .                        with NVIDIA GPUs
#
# docs/worker-image.md says what is in it, what is not, and how big it is.

FROM python:3.11-slim-bookworm AS packages
# Without CUDA's kernels TensorFlow is a third as big. Both are of the version in requirements.txt.
ARG TENSORFLOW=tensorflow-cpu
WORKDIR /source

# pydot and tensorflow-io are for training alone.
COPY requirements.txt ./
RUN sed -E "/^(pydot|tensorflow-io)==/d; s/^tensorflow==/${TENSORFLOW}==/" requirements.txt > worker.txt \
    && pip install --no-cache-dir --no-compile --prefix=/packages -r worker.txt

# No worker compiles against a package, tests it, serves TensorBoard's pages, or has an accelerator of
# Intel's; nor, with a GPU, goes backwards through a convolution, profiles anything, or has several of them.
RUN find /packages -type d \( -name include -o -name tests \) -prune -exec rm -r {} + \
    && find /packages -type f \( -name '*.a' -o -name '*.h' -o -name '*.pyx' -o -name 'libclang.so' \
        -o -path '*/tensorboard/webfiles.zip' -o -path '*/tensorboard_data_server/bin/*' \
        -o -name 'libopenvino_intel_[gn]pu_plugin.so' \
        -o -name 'libcudnn_cnn_train.so.*' -o -path '*/nvidia/cuda_cupti/lib/*.so*' \
        -o -name 'libnccl.so.*' -o -name 'libcusolverMg.so.*' \) -delete

COPY setup.py README.md ./
COPY captioner captioner
COPY pipelines pipelines
RUN sed -Ei "/\"(pydot|tensorflow-io)[=>]/d; s/\"tensorflow>/\"${TENSORFLOW}>/" setup.py \
    && pip install --no-cache-dir --no-compile --no-deps --prefix=/packages .


FROM python:3.11-slim-bookworm
# What a process needs to be one of Beam's workers, and to be launched as a flex template.
COPY --from=apache/beam_python3.11_sdk:2.77.0 /opt/apache/beam /opt/apache/beam
COPY --from=gcr.io/dataflow-templates-base/python311-template-launcher-base:20230622_RC00 \
    /opt/google/dataflow/python_template_launcher /opt/google/dataflow/python_template_launcher
COPY --from=packages /packages /usr/local
# The import leaves the bytecode of just what a worker uses, so that each starts some seconds sooner.
RUN pip check \
    && python -W ignore -c "import apache_beam.runners.worker.sdk_worker_main, captioner.model, pipelines.jobs"

# Everything is installed: a worker has no use for an environment of its own.
ENV RUN_PYTHON_SDK_IN_DEFAULT_ENVIRONMENT=1
# Where Dataflow puts a GPU's driver.
ENV LD_LIBRARY_PATH=/usr/local/nvidia/lib64

COPY deploy/dataflow /template
ENV FLEX_TEMPLATE_PYTHON_PY_FILE=/template/launch.py
# The name under which the image is pushed, so that a job launched from it runs it on its workers.
ARG IMAGE=""
ENV CAPTIONER_IMAGE=${IMAGE}

# There is no USER: Dataflow mounts directories that only root can write, and expects to write them.
ENTRYPOINT ["/opt/apache/beam/boot"]
