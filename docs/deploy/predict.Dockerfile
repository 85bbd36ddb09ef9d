# The model server: the base install and one trainer, which reads the artifacts of the models that it answers for.
# LightGBM in place of XGBoost needs libgomp1 of the system, too, as in batch.Dockerfile.
#   docker build -f docs/deploy/predict.Dockerfile -t features-predict .
ARG BASE=python:3.12-slim-bookworm
FROM $BASE AS install
WORKDIR /build
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY transformations transformations
COPY validation validation
RUN python -m venv /venv \
 && /venv/bin/pip install --no-cache-dir -c constraints.txt "." xgboost-cpu

FROM $BASE
COPY --from=install /venv /venv
WORKDIR /srv/features
COPY feature_repo feature_repo
# /data holds models/ (read) and the record of predictions (written): a volume that outlives the container.
# FEATURES_PREDICT_MODELS names the models. Trees of one row are fastest on one thread: more only spin.
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 FEATURES_DATA=/data OMP_NUM_THREADS=1
RUN useradd --uid 10001 --no-create-home features && mkdir /data && chown features /data
USER 10001
VOLUME /data
EXPOSE 8080
# Until its models are loaded, for at most 20 seconds, it does not listen; nobody calls it ill before they can be.
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s \
  CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8080/v2/health/ready', timeout=2)"]
CMD ["uvicorn", "--factory", "transformations.models.serving.api.app:create_app", "--host", "0.0.0.0", "--port", "8080"]
