# Every command works in a fresh clone: it first sets up what it needs.
SHELL := /bin/bash
.DEFAULT_GOAL := help
VENV := .venv
PYTHON := $(VENV)/bin/python
READY := $(VENV)/.ready
COMPILED := $(VENV)/.compiled
# The interpreter that .python-version asks for, found by name or through pyenv's shim.
BOOTSTRAP ?= $(shell for p in python3.13 python3 "$$HOME/.pyenv/shims/python3"; do \
	if "$$p" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 13))' >/dev/null 2>&1; then echo "$$p"; break; fi; done)
# QUICK: tests that start no process. HUNTED: tests that draw at random.
QUICK := tests/test_*.py tests/unit/domain tests/unit/steps tests/unit/saga tests/unit/web \
	tests/simulation/test_schedules.py -k "not planted and not answered_quickly and not replays and (not keep_the_laws or keep_the_laws[0])"
HUNTED := tests/unit tests/differential tests/simulation tests/simulator tests/host/test_crash.py tests/host/test_timers.py \
	tests/e2e/test_api_schema.py tests/e2e/test_crash.py tests/e2e/test_crash_sweep.py tests/e2e/test_flex.py tests/e2e/test_many.py
TOOLS := tool-azurite tool-browser tool-peers $(COMPILED)
export STACK PROFILE TIME_SCALE TOPOLOGY SEED N
# Each process would compile every module again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo test test-quick check lint-infra coverage format bench costs azure-check infra-preview simulate hunt crash-sweep peers screenshots constraints diagrams schemas up down env clean truth tools tool-azurite tool-browser tool-peers

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/\$$\$$/$$/' | awk -F ':.*## ' '{printf "  make %-11s %s\n", $$1, $$2}'

$(READY): requirements.txt requirements-dev.txt constraints.txt .python-version
	@if [ -z "$(BOOTSTRAP)" ]; then echo "Python 3.13 is needed (see .python-version): install it, for example with pyenv" >&2; exit 1; fi
	@echo "setting up $(VENV)"
	@"$(BOOTSTRAP)" -m venv $(VENV)
	@$(PYTHON) -m local.environments
	@touch $(READY)

# What the tests need besides Python's packages, side by side. One process compiles the modules of a fresh clone and of
# new packages, or else each worker would compile all of them; an error in them is reported by the tests.
tools: $(READY)
	@$(MAKE) --silent --jobs $(TOOLS)

tool-azurite:
	@$(PYTHON) -m local.azurite

tool-browser:
	@$(PYTHON) -m local.browser

tool-peers:
	@$(PYTHON) -m tests.peers.environment

$(COMPILED): $(READY)
	@$(PYTHON) -m pytest --collect-only --quiet > /dev/null || true
	@touch $(COMPILED)

demo: $(READY) ## run deployments that succeed and deployments that are rolled back, on this machine
	@$(PYTHON) -m local.demo

test: tools ## run all tests; installs everything that they need
	@$(PYTHON) -m pytest -n auto --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS)

test-quick: $(READY) ## run the tests that start no process: decisions, and fixed schedules in memory (under a minute)
	@$(PYTHON) -m pytest -n auto $(QUICK) $(PYTEST_ARGS)

check: $(READY) ## check format, lint and types
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/pyright

lint-infra: $(READY) ## check infra/ and the pipeline files with every checker (installs checkov and a language service from npm)
	@$(PYTHON) -m tests.infra.checkov
	@$(PYTHON) -m pytest tests/infra tests/pipelines $(PYTEST_ARGS)

coverage: tools ## measure which lines the tests reach, into htmlcov/ (PYTEST_ARGS=tests/unit for a part)
	@$(PYTHON) -m pytest -n auto --dist loadfile --no-loadscope-reorder --cov --cov-report=term:skip-covered --cov-report=html $(PYTEST_ARGS)

format: $(READY) ## format the code
	@$(VENV)/bin/ruff format .
	@$(VENV)/bin/ruff check --fix .

truth: $(READY) ## replay all recorded traffic to the simulator, and count what differs by kind (FILES=... for other recordings)
	@$(PYTHON) -m tests.simulator.report $(FILES)

bench: $(READY) ## measure medians and ratios
	@$(PYTHON) -m local.bench $(BENCH_ARGS)

costs: $(READY) ## compute the cost of an idle month and of a deployment (COSTS_ARGS="ALWAYS_READY_STEPS=1 --steps 200")
	@$(PYTHON) -m local.costs $(COSTS_ARGS)

infra-preview: $(READY) ## show what azd up would create, and what Azure would refuse (INFRA_ARGS="PRIVATE_NETWORKING=true")
	@$(PYTHON) -m tests.infra.dry_deployment $(INFRA_ARGS)

azure-check: $(READY) ## after azd up: try the real app once, and leave nothing behind (TARGET=name; AZURE_CHECK_ARGS=--rehearse tries it here)
	@$(PYTHON) -m local.azure_check --target "$(TARGET)" $(AZURE_CHECK_ARGS)

simulate: $(READY) ## run random schedules of crashes and faults over the whole system in memory (N=10000 SEED=1)
	@$(PYTHON) -m tests.simulation

hunt: tools ## run the tests that draw at random, with a fresh seed and more cases (SEED=1 to repeat a run)
	@seed=$${SEED:-$$((RANDOM * 32768 + RANDOM))}; echo "SEED=$$seed (repeat: make hunt SEED=$$seed)"; \
	SEED=$$seed CRASH_SEED=$$seed HYPOTHESIS_PROFILE=hunt $(PYTHON) -m pytest -n auto --dist loadfile \
		--no-loadscope-reorder -m "" --hypothesis-seed=$$seed $(HUNTED) $(PYTEST_ARGS)

crash-sweep: $(READY) ## kill the host at every boundary of six deployments (SWEEP_ARGS="--manifest failing --only 10-40")
	@$(PYTHON) -m local.crash_sweep $(SWEEP_ARGS)

peers: $(READY) ## run fabric-cicd and the Fabric CLI, unmodified, against the simulator: every command and its outcome
	@$(PYTHON) -m tests.peers

screenshots: $(READY) ## take the pictures in docs/images again: the page on the real app, with Fabric's recorded durations
	@$(PYTHON) -m local.screenshots

constraints: $(READY) ## generate constraints.txt: the exact versions of all packages that the app ships
	@$(PYTHON) -m local.constraints

diagrams: $(READY) ## generate from the code: docs/states.md, docs/settings.md, docs/cost.md, the drawing in docs/architecture.md, the page's verbs
	@$(PYTHON) -m local.diagrams
	@$(PYTHON) -m local.packages
	@$(PYTHON) -m local.settings_page
	@$(PYTHON) -m local.cost_page
	@$(PYTHON) -m local.verbs_script

schemas: $(READY) ## generate the manifest's JSON Schema for editors (schemas/)
	@$(PYTHON) -m local.schemas

up: $(READY) ## start the local stack and leave it running (STACK=name, PROFILE=realistic, TIME_SCALE=10, TOPOLOGY=flex)
	@$(PYTHON) -m local.stack up

down: ## stop the stack and keep its data
	@if [ -x $(PYTHON) ]; then $(PYTHON) -m local.stack down; fi

env: ## print the settings that a shell needs for the stack: eval "$$(make -s env)"
	@$(PYTHON) -m local.stack env

clean: down ## remove everything that the targets have set up
	rm -rf $(VENV) .local .pytest_cache .ruff_cache .hypothesis
