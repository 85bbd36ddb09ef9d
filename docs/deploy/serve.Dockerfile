# The feature server: `feast serve` over our stores. The base install alone, without Spark and DuckDB.
#   docker build -f docs/deploy/serve.Dockerfile -t features-serve .
ARG BASE=python:3.12-slim-bookworm
FROM $BASE AS install
WORKDIR /build
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY transformations transformations
COPY validation validation
RUN python -m venv /venv \
 && /venv/bin/pip install --no-cache-dir -c constraints.txt "."

FROM $BASE
COPY --from=install /venv /venv
WORKDIR /srv/features
COPY feature_repo feature_repo
# Redis and the registry are services of their own: FEATURES_REDIS_URL, FEATURES_REGISTRY_URL.
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 FEATURES_DATA=/data
RUN useradd --uid 10001 --no-create-home features && mkdir /data && chown features /data
USER 10001
VOLUME /data
EXPOSE 6566
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s \
  CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:6566/health', timeout=2)"]
CMD ["feast", "-c", "feature_repo", "serve", "-h", "0.0.0.0", "-p", "6566", "--no-access-log"]
