# The index of habits: `make` prints it. Each target runs plain commands that one could type; most print them first.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

BIN := .venv/bin
EXTRAS := train,batch,validate,models,track,lineage,orchestration,objects,local,demo,notebook,dev
STAMP := .venv/.installed
FEAST := $(BIN)/feast -c feature_repo

# Commands are started by the hundred, in tests above all: compiled once, each starts half a second sooner.
unexport PYTHONDONTWRITEBYTECODE

# Load from START on; up to END. FEATURES_CLOCK, where set, is the present moment.
START ?= 1970-01-01T00:00:00
END ?= $(or $(FEATURES_CLOCK),$(shell date -u +%Y-%m-%dT%H:%M:%S))

.PHONY: $(shell awk -F : '/^[a-z-]+:.*## / {print $$1}' $(MAKEFILE_LIST))

# Tests that are run once more in another world: the data in object storage, the registry on PostgreSQL.
ENGINE_TESTS := tests/transformations/engine
COMMAND_TESTS := tests/transformations/cli/commands
IN_BUCKET := $(ENGINE_TESTS)/base/files $(ENGINE_TESTS)/raw/test_zone.py $(ENGINE_TESTS)/test_processes.py \
  $(ENGINE_TESTS)/compute/test_build.py $(ENGINE_TESTS)/compute/test_taking_back.py $(ENGINE_TESTS)/upkeep/test_restore.py \
  $(COMMAND_TESTS)/data/test_build.py $(COMMAND_TESTS)/data/test_restore.py $(COMMAND_TESTS)/platform/test_compact.py \
  $(COMMAND_TESTS)/data/test_dataset.py $(COMMAND_TESTS)/look/test_status.py $(COMMAND_TESTS)/look/test_explain.py \
  tests/transformations/cli/test_up.py tests/transformations/cli/test_other_machine.py \
  tests/transformations/models/test_training.py tests/transformations/models/test_in_bucket.py \
  tests/transformations/models/predictions/test_shared.py $(COMMAND_TESTS)/data/test_model.py
ON_POSTGRES := tests/transformations/models/log/test_event_log.py tests/transformations/models/log/test_stages.py \
  tests/transformations/cli/test_up.py $(COMMAND_TESTS)/look/test_diff.py -k "not they_stand_beside"

help:  ## Print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(STAMP)  ## Create .venv and install everything from the pinned versions (again only when they change)
	@echo "everything is installed in .venv"

lint: $(STAMP)  ## Check style, formatting and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(STAMP)  ## Rewrite the files in the common style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

test: $(STAMP)  ## Run the tests (ARGS="-k redis" passes options to pytest)
	$(BIN)/python -m pytest -n 3 --dist worksteal $(ARGS)

checked-test: $(STAMP)  ## Run the tests with Feast's own checks of the types that it is given, as in a notebook
	FEAST_CHECKS=1 $(BIN)/python -m pytest -n 3 --dist worksteal $(ARGS)

cluster-test: $(STAMP)  ## Build on a Spark cluster of this machine's processes and compare with a local build
	$(BIN)/python tests/cluster/run.py $(ARGS)

bucket-test: $(STAMP)  ## Run ingestion, builds, restores, kills, retrieval, loads and models with the data on a real S3 server on loopback
	TESTS_IN_BUCKET=1 $(BIN)/python -m pytest -n 2 --dist worksteal -m "not stock and not kills and not disks" $(IN_BUCKET) $(ARGS)

azure-test: .venv/azurite  ## Run the tests of tables and files in object storage on Azurite, Microsoft's own emulator (npm)
	TESTS_STORE=az $(BIN)/python -m pytest -q $(ENGINE_TESTS)/base/files $(ARGS)

postgres-test: .venv/postgres  ## Run a project and its models with the registry on PostgreSQL (Debian's package postgresql)
	@ls -d /usr/lib/postgresql/*/bin >/dev/null 2>&1 || { echo "not installed: apt-get install postgresql" >&2; exit 4; }
	TESTS_ON_POSTGRES=1 PYTHONPATH=.venv/postgres $(BIN)/python -m pytest -n 2 --dist worksteal $(ON_POSTGRES) $(ARGS)

kill-test: $(STAMP)  ## Kill commands and builds at random moments, some 100 in all: nothing is lost (KILLS=11 of each)
	COMMAND_KILLS=$(or $(KILLS),11) KILLS=$(or $(KILLS),11) KILLED_BUILDS=$(or $(BUILDS),4) $(BIN)/python -m pytest -q -s -m "not stock" \
	  tests/transformations/cli/test_kills.py tests/transformations/stores/servers/test_kills.py \
	  tests/transformations/stores/servers/test_cluster.py tests/transformations/engine/test_processes.py -k killed $(ARGS) | awk '{ print; fflush() } \
	  /^kills: / { all += $$2; sure += $$(NF - 3) } END { print sure + 0 " of " all + 0 " kills certainly interrupted the work" }'

disk-proof: $(STAMP)  ## Damage every file of a project in every way, under every command (DISKS='data/raw/* × deleted|feature_repo/*')
	$(BIN)/python -m pytest -q -s -m disks tests/transformations/cli/disks $(ARGS)

slow-proof: $(STAMP)  ## Run the tests that take long: several processes at once, kills, whole journeys (ARGS="-k notebook")
	$(BIN)/python -m pytest -n 2 --dist worksteal -m proof $(ARGS)

knowledge-proof: $(STAMP)  ## Try many histories of drops, corrections and builds against the law of knowledge time (EXAMPLES=…)
	KNOWLEDGE_EXAMPLES=$(or $(EXAMPLES),30) $(BIN)/python -m pytest -q -m "" tests/transformations/engine/compute/test_knowledge.py

api-proof: $(STAMP)  ## Hold the model server against its OpenAPI, and exchange versions under load (EXAMPLES=300 REQUESTS=100000)
	API_EXAMPLES=$(or $(EXAMPLES),300) RELOAD_REQUESTS=$(or $(REQUESTS),100000) $(BIN)/python -m pytest -q -s -m "" \
	  tests/transformations/models/serving/api/test_described.py tests/transformations/models/serving/test_reloads.py $(ARGS)

coverage-proof: $(STAMP)  ## Simulate how often 95 % intervals of metrics and differences hold the truth (ARGS="--simulations 50")
	$(BIN)/python tests/transformations/models/evaluation/coverage.py $(ARGS)

oracle-proof: .venv/evidently  ## Compare the effect sizes of drift with Evidently's on the same rows (ARGS="--days 400")
	PYTHONPATH=.venv/evidently $(BIN)/python tests/transformations/monitoring/statistics/evidently_oracle.py $(ARGS)

rollout-proof: $(STAMP)  ## Simulate rollouts over the demo's real requests: false stops and power (ARGS="--simulations 50")
	$(BIN)/python tests/demo/rollouts.py $(ARGS)

replay-proof: $(STAMP)  ## Replay the demo's Mondays and hold outcomes, alerts and skew against what is known without us
	$(BIN)/features demo replay
	$(BIN)/python tests/demo/replayed.py

drift-proof: $(STAMP)  ## Measure on the demo's data what monitoring finds and what it alerts in vain (ARGS="--trials 1000 --write")
	$(BIN)/features model predict household_lapse_2017 --from 2017-07-03 --to 2018-01-01 --version 1
	$(BIN)/python tests/demo/drift_power.py $(ARGS)
	$(BIN)/python tests/demo/drifted_replay.py

stock-traps: $(STAMP)  ## Show that stock Feast still falls into the traps that ours avoids
	FEAST_CHECKS=1 $(BIN)/python -m pytest -n 2 -m stock tests/conformance tests/transformations/stores $(ARGS)

day-proof: $(STAMP)  ## Perform a day from an empty data folder, by run-day and by Dagster: killed, served, monitored, once (ARGS="--by both")
	$(BIN)/python tests/demo/whole_day.py $(ARGS)

reload-proof: $(STAMP)  ## Change all that servers read while they answer: nothing wrong, nothing lost but while Redis is away
	$(BIN)/python -m pytest -q -s -m proof tests/transformations/models/serving/test_reloading.py $(ARGS)

deploy-proof: $(STAMP)  ## Install what each Dockerfile installs into a new environment, and start its command (ARGS=serve)
	$(BIN)/python tests/deploy/run.py $(ARGS)

parity-proof: $(STAMP)  ## Replay the demo's year and many generated histories: online against training (EXAMPLES=…)
	$(BIN)/python tests/parity/year.py $(ARGS)
	PARITY_EXAMPLES=$(or $(EXAMPLES),150) $(BIN)/python -m pytest -q -m "" tests/parity

proofs: $(STAMP)  ## Run every slow proof at a size that ends within 25 minutes, and write docs/proofs.md (ONLY="kill-test …")
	$(BIN)/python tests/proofs/run.py $(ONLY)

bench: $(STAMP)  ## Run the benchmarks, each a script in tests/benchmarks (ARGS passes options)
	@shopt -s nullglob; scripts=(tests/benchmarks/bench_*.py); echo "$${#scripts[@]} benchmarks in tests/benchmarks"; \
	for script in "$${scripts[@]}"; do echo "$(BIN)/python $$script $(ARGS)"; $(BIN)/python "$$script" $(ARGS); done

bench-aging: $(STAMP)  ## Measure what a day costs after years of daily runs (ARGS="--days 100": a quick look)
	$(BIN)/python tests/benchmarks/bench_aging.py $(ARGS)

bench-batch: $(STAMP)  ## Measure the batch engine (LARGE=1: 100M events too; ARGS="--events 1000000 --repeat 1": a quick look)
	$(BIN)/python tests/benchmarks/bench_batch.py $(if $(LARGE),--large) $(ARGS)

bench-contracts: $(STAMP)  ## Measure the draft of a contract and the check of a file (ARGS="--repeat 1": a quick look)
	$(BIN)/python tests/benchmarks/bench_contracts.py $(ARGS)

bench-evaluate: $(STAMP)  ## Measure the evaluation's intervals against scikit-learn (ARGS="--repeat 1": a quick look)
	$(BIN)/python tests/benchmarks/bench_evaluate.py $(ARGS)

bench-growth: $(STAMP)  ## Measure how each stage grows with events, entities, features, requests (ARGS="--events 20000": a quick look)
	$(BIN)/python tests/benchmarks/bench_growth.py $(ARGS)

bench-ingest: $(STAMP)  ## Measure ingestion against DuckDB's COPY (ARGS="--repeat 1": a quick look)
	$(BIN)/python tests/benchmarks/bench_ingest.py $(ARGS)

bench-monitor: $(STAMP)  ## Measure the monitoring of a day against DuckDB's histograms (ARGS="--rows 200000 --repeat 1": a quick look)
	$(BIN)/python tests/benchmarks/bench_monitor.py $(ARGS)

bench-on-demand: $(STAMP)  ## Measure Feast's own on-demand views on our stores and on Feast's (ARGS="--repeat 1")
	$(BIN)/python tests/benchmarks/bench_on_demand.py $(ARGS)

bench-online: $(STAMP)  ## Measure the online store against Feast's own (ARGS="--only lookups --repeat 1": a quick look)
	$(BIN)/python tests/benchmarks/bench_online.py $(ARGS)

bench-opening: $(STAMP)  ## Measure what opening a table of 5,000 versions costs (ARGS="--versions 1000": a quick look)
	$(BIN)/python tests/benchmarks/bench_opening.py $(ARGS)

bench-predict: $(STAMP)  ## Measure the model server over HTTP (ARGS="--repeat 1 --seconds 1": a quick look)
	$(BIN)/python tests/benchmarks/bench_predict.py $(ARGS)

bench-retrieval: $(STAMP)  ## Measure training retrieval (ARGS="--spines 1000000 --users 100000 --repeat 1": a quick look)
	$(BIN)/python tests/benchmarks/bench_retrieval.py $(ARGS)

bench-retrieval-spark: $(STAMP)  ## Measure retrieval on Spark against Feast's own (LARGE=1: 10M on 30M too)
	$(BIN)/python tests/benchmarks/bench_retrieval_spark.py $(if $(LARGE),--large) $(ARGS)

bench-train: $(STAMP)  ## Measure training against bare XGBoost (LARGE=1: 5M rows; ARGS="--rows 100000 --repeat 1": a quick look)
	$(BIN)/python tests/benchmarks/bench_train.py $(if $(LARGE),--large) $(ARGS)

demo: $(STAMP)  ## Run the main job end to end on the demo's data
	$(BIN)/features demo

monitoring: $(STAMP)  ## Look at the models and start Prometheus on loopback with the alert rules (Debian's package prometheus)
	@command -v prometheus >/dev/null || { echo "prometheus is not installed: apt-get install prometheus" >&2; exit 4; }
	stack="$$($(BIN)/python -m transformations.monitoring.reports.stack)"; \
	$(BIN)/features monitor --setup "$$stack"; \
	$(BIN)/features monitor --export "$$stack/served/metrics.prom" || test $$? = 3; \
	cd "$$stack"; ln -sf metrics.prom served/metrics; \
	$(CURDIR)/$(BIN)/python -m http.server --bind 127.0.0.1 --directory served 9464 >/dev/null 2>&1 & \
	served=$$!; trap 'kill $$served' EXIT; \
	prometheus --config.file=prometheus.yaml --web.listen-address=127.0.0.1:9090 --storage.tsdb.path=tsdb

# The demo's files are its deliveries, all complete on the day after them; a first version goes to production by itself.
ORCHESTRATED := FEATURES_CONTRACTS="$$($(BIN)/features demo deliver)" FEATURES_RUN_DAY_COMPLETE=true \
  FEATURES_RUN_DAY_PROMOTE=true FEATURES_RUN_DAY_FIRST=2017-01-01 FEATURES_CLOCK=$(or $(FEATURES_CLOCK),2018-01-01T18:00:00Z)

orchestrate: $(STAMP)  ## Start Dagster on loopback: the graph of a day, its schedule and its sensors (PORT=3000)
	@echo "Dagster's pages come up on http://127.0.0.1:$(or $(PORT),3000); Ctrl-C ends it."
	@$(ORCHESTRATED) DAGSTER_HOME="$$($(BIN)/python -m transformations.orchestration.dagster_home)" \
	  PYTHONWARNINGS="ignore:Function" $(BIN)/dagster dev --log-level $(or $(LOG),warning) \
	  -h 127.0.0.1 -p $(or $(PORT),3000) -m transformations.orchestration.dagster_graph

plan: $(STAMP)  ## Show what applying the feature repository would change
	$(FEAST) plan

apply: $(STAMP)  ## Register the feature repository's views and services
	$(FEAST) apply

build: $(STAMP)  ## Compute the offline tables from the raw zone
	$(BIN)/features build

materialize: $(STAMP)  ## Load the online store from the offline tables (START=… END=…; default: everything)
	$(FEAST) materialize $(START) $(END)

refresh: $(STAMP)  ## Compute what is new and load it online (END=…)
	$(BIN)/features build
	$(FEAST) materialize-incremental $(END)

# Without a working installation the server is ended by its own process id, if that process still holds our socket.
stop:  ## Stop the project's own Redis
	@if $(BIN)/features redis url >/dev/null 2>&1; then echo "$(BIN)/features redis stop"; $(BIN)/features redis stop; \
	elif pid=$$(cat data/redis/redis.pid 2>/dev/null) && ps -o args= -p "$$pid" | grep -qF '$(CURDIR)/data/redis/redis.sock'; then \
	  echo "kill $$pid"; kill "$$pid"; \
	else echo "Redis does not run."; fi

clean: stop  ## Remove all that the other targets made: .venv, data, caches (a FEATURES_DATA elsewhere stays)
	rm -rf .venv data build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis spark-warehouse
	@find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +

# A stamp file makes a second call free. Python is sought by version, and each candidate tried: a shim may exist that runs nothing.
$(STAMP): pyproject.toml constraints.txt
	@if ! $(BIN)/python -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null; then \
	  for candidate in $(PYTHON) python3.11 python3.12 python3.13 python3; do \
	    if $$candidate -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null; then found=$$candidate; break; fi; \
	  done; \
	  if [ -z "$${found-}" ]; then echo "no Python 3.11, 3.12 or 3.13 on PATH: install one, or say make install PYTHON=/path/to/python" >&2; exit 1; fi; \
	  echo "$$found -m venv --clear .venv"; "$$found" -m venv --clear .venv; \
	fi
	@echo '$(BIN)/python -m pip install -c constraints.txt -e ".[$(EXTRAS)]"   # log: .venv/install.log'
	@$(BIN)/python -u -m pip install --no-input --disable-pip-version-check -c constraints.txt -e ".[$(EXTRAS)]" 2>&1 \
	  | tee .venv/install.log | awk '$(PROGRESS)' || { grep -E '^ *(ERROR|error)' .venv/install.log >&2 || tail -n 20 .venv/install.log >&2; exit 1; }
	@touch $(STAMP)

# What one proof alone needs is beside the rest; whole or not there at all.
.venv/evidently: BESIDE := evidently==0.7.23
.venv/postgres: BESIDE := psycopg[binary]
.venv/azurite: BESIDE := azurite@3.37.0
.venv/evidently .venv/postgres: | $(STAMP)
	@rm -rf $@.new
	$(BIN)/pip install -q --disable-pip-version-check -c constraints.txt --target $@.new '$(BESIDE)'
	@mv $@.new $@
.venv/azurite: | $(STAMP)
	@command -v npm >/dev/null || { echo "npm is not installed: apt-get install npm" >&2; exit 4; }
	@rm -rf $@.new
	npm install --silent --no-audit --no-fund --ignore-scripts --prefix $@.new '$(BESIDE)'
	@mv $@.new $@

# One line a stage, and a count while packages are fetched, in place of pip's hundreds of lines.
define PROGRESS
/^Collecting / { fetched++; if (fetched % 20 == 0) { printf "  %d packages looked up\n", fetched; fflush() } } \
/^Building wheels? / { print "  building", $$NF; fflush() } \
/^Installing collected packages/ { print "  installing (the longest step)"; fflush() } \
/^Successfully installed/ { print "  installed", NF - 2, "packages"; fflush() }
endef
