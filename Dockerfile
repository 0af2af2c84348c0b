# Two images from one file: `web` (also beat and set-up) without PyTorch, `worker` with it.
FROM python:3.13-slim AS web
ENV PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 EVALSITE_VAR=/var/lib/evalsite
WORKDIR /opt/evalsite
COPY requirements/web.txt requirements/
RUN pip install --no-cache-dir --require-hashes -r requirements/web.txt
COPY . .
RUN useradd --system --create-home evalsite && mkdir -p "$EVALSITE_VAR" && chown evalsite "$EVALSITE_VAR"
USER evalsite
EXPOSE 8000

FROM python:3.13-slim AS worker
ENV PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 EVALSITE_VAR=/var/lib/evalsite
WORKDIR /opt/evalsite
# Some of pyiqa's parts are built from source, and OpenCV wants these libraries.
RUN apt-get update && apt-get install -y --no-install-recommends gcc g++ libgl1 libglib2.0-0 \
    && rm -rf /var/lib/apt/lists/*
COPY requirements/worker.txt requirements/
RUN pip install --no-cache-dir --require-hashes -r requirements/worker.txt
COPY . .
RUN useradd --system --create-home evalsite && mkdir -p "$EVALSITE_VAR" && chown evalsite "$EVALSITE_VAR"
USER evalsite
