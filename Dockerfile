# The API and the page, and the commands: `docker compose up`, see docker-compose.yml.
#
# Built from the repository alone, with the exact versions of constraints.txt. Models are not part of
# it: they are downloaded on first use, into /cache.
FROM python:3.11.14-slim-bookworm AS build

# One more package index that torch may come from, such as PyTorch's own of builds without CUDA,
# which make the image several GB smaller. Without it, torch comes from where all packages do.
ARG TORCH_INDEX=

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PATH=/opt/segsearch/bin:$PATH
RUN python -m venv /opt/segsearch
WORKDIR /src
COPY constraints.txt ./

# sam2 is built from source against the installed torch: torch first, then sam2 without build
# isolation, or torch would be fetched a second time just to build it.
RUN pip install --constraint constraints.txt ${TORCH_INDEX:+--extra-index-url "$TORCH_INDEX"} \
        torch torchvision setuptools wheel \
    && SAM2_BUILD_CUDA=0 pip install --constraint constraints.txt --no-build-isolation sam2

COPY pyproject.toml README.md LICENSE ./
COPY configs configs
COPY indexer indexer
COPY search search
RUN pip install --constraint constraints.txt .


FROM python:3.11.14-slim-bookworm

RUN useradd --create-home --uid 10001 segsearch \
    && mkdir /cache /pictures \
    && chown segsearch:segsearch /cache
COPY --from=build /opt/segsearch /opt/segsearch

# The models, and the compiled kernels, which the installation's own folder may not hold here.
ENV PATH=/opt/segsearch/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    XDG_CACHE_HOME=/cache \
    HF_HOME=/cache/huggingface
VOLUME /cache
USER segsearch
WORKDIR /home/segsearch
EXPOSE 8000

# The image has neither curl nor wget. The first start loads models for minutes.
HEALTHCHECK --interval=10s --timeout=5s --start-period=10m --retries=3 \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/healthz', timeout=4)"]

CMD ["search", "serve", "/pictures", "--host", "0.0.0.0", "--port", "8000"]
