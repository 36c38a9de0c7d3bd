# `make help` lists what there is. Everything is installed into .venv and a cache outside the tree
# ($SLUICE_CACHE, else ~/.cache/sluice), keyed by version.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# Of `make images`, which reads them from the environment: see docs/images.md.
export BUILDER REGISTRY TAG PYTHON_IMAGE
PYTEST := $(BIN)/python -m pytest
# Two files at a time; each worker has its own API server or sandbox. N=0: one after the other.
N ?= 2
SANDBOXES ?= $(N)
# What to have ready: sandbox, packaging (helm, promtool), cluster (kubelet, istiod and the like).
TIERS ?= sandbox packaging
TWO := -q -n $(N) --dist loadfile

.PHONY: help setup parts images model-image test-images lint format crds statuses lock lock-debian test test-unit test-api test-gitops test-sandbox test-models \
	test-random test-properties contract demo bench clean e2e manifests golden test-packaging

help: ## List the targets
	@awk 'BEGIN{FS=":.*## "} /^[a-z-]+:.*## /{printf "  %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(STAMP): requirements/dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Python >= 3.11 is needed, this is %s: set PYTHON=" % sys.version.split()[0])'
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	@echo "installing Python packages into $(VENV) (about half a minute)"
	@$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

setup: $(STAMP) ## Make .venv with the sluice command

parts: setup ## Find or build the real parts (API server, Prometheus, Envoy, model servers)
	@$(BIN)/python -m sluice.sandbox.parts $(TIERS)

demo: parts ## Five rollouts on real parts under live load (about six minutes)
	@exec $(BIN)/sluice demo $(ARGS)

lint: setup ## ruff, mypy --strict, import-linter, generated files in step
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m sluice.api.crds --check manifests/crds
	$(BIN)/python -m sluice.cli.documents --check docs/schemas
	$(BIN)/python -m sluice.cli.reference --check docs/cli.md
	$(BIN)/python tools/manifests.py --check
	$(BIN)/python gitops/argocd/generate.py --check

format: setup ## Format the code
	$(BIN)/ruff check --fix . && $(BIN)/ruff format .

crds: setup ## Generate manifests/crds, docs/schemas and the option tables of docs/cli.md
	$(BIN)/python -m sluice.api.crds manifests/crds
	$(BIN)/python -m sluice.cli.documents docs/schemas
	$(BIN)/python -m sluice.cli.reference docs/cli.md
	cp manifests/crds/* charts/sluice/files/crds/

manifests: crds ## Write manifests/ from the chart, and the goldens anew
	cp charts/sluice/files/rbac/controller*.yaml controller/sluice/kube/shipped_roles/
	@$(BIN)/python -m sluice.sandbox.parts packaging
	$(BIN)/python tools/manifests.py
	$(MAKE) golden

golden: setup ## Render the chart anew for the tests that compare
	$(BIN)/python -m tests.packaging.chart.rendering

images: setup ## Container images, digests and SBOMs into dist/images: ARGS="--only controller" REGISTRY=...
	@$(BIN)/python -m sluice.packaging $(ARGS)

model-image: setup ## An image of your own model: MODEL=DIR TAG=1.0 REGISTRY=... ARGS=--push
	@test -n "$(MODEL)" || { echo "usage: make model-image MODEL=DIR TAG=1.0 [REGISTRY=PREFIX ARGS=--push]"; exit 2; }
	@$(BIN)/python -m sluice.packaging --model "$(MODEL)" $(ARGS)

test: lint test-unit parts test-api test-packaging test-gitops test-models test-sandbox ## All tiers

test-unit: setup ## Pure tests: no process, no network
	$(PYTEST) tests/unit tests/contract $(TWO)

test-api: parts ## Against a real kube-apiserver and Prometheus
	$(PYTEST) tests/api $(TWO)

test-gitops: parts ## Argo CD, Flux and the pipelines, by their own libraries and a real API server
	$(PYTEST) tests/gitops $(TWO)

test-models: parts ## The model images, in their own environment
	$(PYTEST) tests/model_images -q

test-sandbox: parts ## End to end on the sandbox
	$(PYTEST) tests/sandbox -q -n $(SANDBOXES) --dist loadfile

e2e: setup ## In containers on a cluster made for it (root), or on $SLUICE_KUBECONFIG; KEEP=1 lets it stand
	SLUICE_E2E_KEEP=$(KEEP) $(PYTEST) tests/e2e -q $(ARGS)

test-random: parts ## Random operations on the sandbox: LIVES=20 SEED=1 (about a minute and a half each)
	SLUICE_RANDOM_LIVES=$(or $(LIVES),20) SLUICE_RANDOM_SEED=$(or $(SEED),1) \
	  $(PYTEST) tests/sandbox/test_random_operations_sandbox.py -q

test-properties: setup ## Property tests with examples drawn anew (the other targets draw the same ones)
	SLUICE_EXPLORE=1 $(PYTEST) $$(grep -rlE "^from hypothesis" tests/unit) $(TWO)

test-images: setup ## Images: built twice to the same digests, run read-only, labels, SBOMs
	$(PYTEST) tests/packaging -q --ignore=tests/packaging/chart

test-packaging: parts ## The chart and the manifests: goldens, alerts, helm and kubectl on a real API server
	$(PYTEST) tests/packaging/chart $(TWO)

contract: parts ## Replay recordings of the real Seldon against the stand-ins: RECORDINGS=DIR
	@test -n "$(RECORDINGS)" || { echo "usage: make contract RECORDINGS=DIR"; exit 2; }
	$(BIN)/python -m sluice.sandbox.contract --recordings $(RECORDINGS)

bench: parts ## First figures of cost, as JSON lines
	$(BIN)/python -m bench $(ARGS)

statuses: setup ## Record anew what the controller writes in every phase; generate for Argo CD
	$(BIN)/python -m tests.gitops.recording
	$(BIN)/python gitops/argocd/generate.py

lock: ## Pin requirements/*.in anew (needs pip-tools on the PATH)
	for f in bench-drift controller stand-ins dev seldon sbom tools; do pip-compile -q --generate-hashes --allow-unsafe \
	  --strip-extras --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --no-header \
	  --annotation-style=line requirements/$$f.in -o requirements/$$f.txt; done

lock-debian: setup ## Pin requirements/debian*.txt anew (on Debian bookworm)
	$(BIN)/python -m sluice.sandbox.debian_lock

clean: ## Remove .venv, .sandbox and caches of the tree
	rm -rf $(VENV) .sandbox .mypy_cache .ruff_cache .hypothesis build dist controller/*.egg-info
