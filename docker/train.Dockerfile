# Training on NVIDIA GPUs. torch brings its own CUDA, so that the host needs the driver and the NVIDIA Container Toolkit:
#   docker build --file docker/train.Dockerfile --tag echodepth-train .
#   docker run --gpus all --shm-size 8g --volume "$PWD:/work" echodepth-train train rgb --dataset batvisionv2
FROM python:3.11-slim-bookworm

# A C compiler, which torch.compile needs. Debian keeps one version of it in a release.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /opt/echodepth
COPY requirements.txt ./
# torch from PyPI is the build with CUDA. The lock file without its digests limits the releases of everything else.
RUN sed -n 's/ \\$//; /==/p' requirements.txt > constraints.txt \
    && pip install --no-cache-dir --constraint constraints.txt torch==2.13.0
COPY pyproject.toml setup.py README.md LICENSE ./
COPY echodepth ./echodepth
RUN pip install --no-cache-dir --constraint constraints.txt '.[track,stream,teachers]' \
    && useradd --create-home --uid 1000 user

USER 1000
WORKDIR /work
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
ENTRYPOINT ["echodepth"]
CMD ["--help"]
