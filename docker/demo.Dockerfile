# The demo page on a CPU:
#   docker build --file docker/demo.Dockerfile --tag echodepth-demo .
#   docker run --publish 127.0.0.1:7860:7860 --volume "$PWD:/work:ro" echodepth-demo --checkpoint checkpoints/audio/best
FROM python:3.11-slim-bookworm

WORKDIR /opt/echodepth
COPY requirements.txt ./
# torch without CUDA. The lock file without its digests limits the releases of everything else.
RUN sed -n 's/ \\$//; /==/p' requirements.txt > constraints.txt \
    && pip install --no-cache-dir --index-url https://download.pytorch.org/whl/cpu torch==2.13.0
COPY pyproject.toml setup.py README.md LICENSE ./
COPY echodepth ./echodepth
RUN pip install --no-cache-dir --constraint constraints.txt '.[demo]' \
    && useradd --create-home --uid 1000 user

USER 1000
WORKDIR /work
EXPOSE 7860
# Other addresses reach a container than its own; --publish decides who.
ENTRYPOINT ["echodepth", "demo", "--host", "0.0.0.0"]
