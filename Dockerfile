# An image with the wheel, for CPUs or NVIDIA GPUs:
#
#   docker build --tag collect-and-train .                          # PyTorch's CPU build
#   docker build --tag collect-and-train --build-arg TORCH=cuda .   # with CUDA's libraries; run with --gpus all
#   docker run --rm --volume ./data:/work/data collect-and-train demo
#
# compose.yaml has a Prefect server and a worker of this image; docs/howto/install.md describes both.
ARG PYTHON=3.13

FROM python:${PYTHON}-slim-trixie AS build
ARG TORCH=cpu
ARG EXTRAS=export,heif
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /source
RUN python -m venv --without-pip /opt/venv
# Dependencies before the code, which changes more often.
COPY pyproject.toml constraints.txt docker/requirements.py ./
RUN python requirements.py "${EXTRAS}" > requirements.txt \
    && case "${TORCH}" in \
        cpu) set -- --extra-index-url https://download.pytorch.org/whl/cpu ;; \
        cuda) set -- ;; \
        *) echo "TORCH is cpu or cuda, not ${TORCH}" >&2; exit 2 ;; \
    esac \
    && pip --python /opt/venv/bin/python install "$@" --constraint constraints.txt --requirement requirements.txt
COPY . .
RUN pip wheel --no-deps --wheel-dir /wheels . \
    && pip --python /opt/venv/bin/python install --no-deps /wheels/*.whl

FROM python:${PYTHON}-slim-trixie
ARG UID=1000
RUN useradd --uid "${UID}" --create-home app \
    && install --directory --owner app /work /work/data /home/app/.cache /home/app/.prefect
COPY --from=build /opt/venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    DO_NOT_TRACK=1 \
    PREFECT_SERVER_ANALYTICS_ENABLED=false \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
USER ${UID}
WORKDIR /work
ENTRYPOINT ["collect-and-train"]
CMD ["--help"]
