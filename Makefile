# Every job of this project, one short target each. `make` alone lists them.
# ENV=local (the default) is a whole AWS on this machine; ENV=<name> deploys with infra/env/<name>.tfvars.

ENV ?= local
export ENV MINISTACK_PORT VERBOSE YES FILE OUT
# What a person set for other Python projects must not reach this one's environment.
unexport PYTHONPATH PYTHONHOME PIP_USER PIP_TARGET

.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory --no-builtin-rules
SHELL := /bin/bash

VENV     := .venv
PYTHON   := $(VENV)/bin/python
PIPELINE := CALLED_BY=make $(PYTHON) -m pipeline_cli.app --env $(ENV)
# Two stamps in one virtual environment: what the product needs, and what its developers need on top.
READY     := $(VENV)/.ready
DEV_READY := $(VENV)/.ready-dev
# Spark is large, and only its own tests and `check --engine spark` need it.
LARGE_READY := $(VENV)/.ready-large
# checkov needs packages that the rest has in other versions.
CHECKOV_READY := build/checkov/.ready
# Validates the state machine, where there is Node.js.
ASL_READY := $(if $(shell command -v npm),build/asl-validator/.ready)
# The AWS CLI, with which a test sends files as a partner does; it needs another botocore than the rest.
AWS_CLI_READY := build/aws-cli/.ready

.PHONY: help demo test lint package tf-init tf-plan tf-apply tf-destroy upload status messages consume errors report \
	dead-letters redrive release replay republish logs doctor purge bench clean format lock command-docs \
	lint-style lint-types lint-terraform test-unit test-terraform test-e2e test-privileges test-spark tf-state local-up local-down \
	venv FORCE

help: ## | List the targets
	@awk -f scripts/help.awk $(MAKEFILE_LIST)

##@ Main targets (ENV=local is the default of each)

demo: $(READY) ## | Start a local AWS, deploy to it, send a sample day and show what came out
	@$(PIPELINE) demo

test: $(DEV_READY) $(AWS_CLI_READY) ## [ARGS="-k name"] | Run every test but test-privileges and test-spark, with the coverage gate; with ARGS only those
	@$(PYTHON) -m pytest -m "not privileges and not spark" -n 2 --dist loadgroup $(if $(ARGS),$(ARGS),--cov --cov-report=term-missing)

lint: lint-style lint-types lint-terraform ## | Check style, types, and the Terraform code's format and security

package: $(READY) ## | Build the Lambda package build/<env>/pipeline.zip
	@$(PIPELINE) package

tf-init: $(READY) ## | Initialise Terraform (and for local: the offline provider)
	@$(PIPELINE) deploy init

tf-plan: package ## | Show what tf-apply would change
	@$(PIPELINE) deploy plan

tf-apply: package ## | Deploy (asks first, except on local; YES=1 does not ask)
	@$(PIPELINE) deploy apply

tf-destroy: $(READY) ## | Undo tf-apply
	@$(PIPELINE) deploy destroy

upload: $(READY) ## FILE=... [DATE=YYYYMMDD] [FORCE=1] | Send a file, or those of a folder, to incoming/
	@$(PIPELINE) upload $${FILE:+"$$FILE"} $(if $(DATE),--date $(DATE)) $(if $(FORCE),--force)

status: $(READY) ## [BATCH=YYYYMMDD] [WATCH=1] | Show each batch: files, state, counts, errors
	@$(PIPELINE) status $(BATCH) $(if $(WATCH),--watch)

messages: $(READY) ## | Show what waits in the output queue
	@$(PIPELINE) messages

consume: $(READY) ## | Take the messages out of the queue with the example consumer, and show what it did (local only)
	@$(PIPELINE) consume

errors: $(READY) ## BATCH=YYYYMMDD | Show what was wrong with a batch
	@$(PIPELINE) errors $(BATCH)

report: $(READY) ## [BATCH=YYYYMMDD] [ALL=1] [OUT=FILE] | Write a page about a batch or, without, about all of them
	@$(PIPELINE) report $(BATCH) $(if $(ALL),--all) $${OUT:+--out "$$OUT"}

dead-letters: $(READY) ## | Show what was set aside and why; pipeline dead-letters --delete ID drops one
	@$(PIPELINE) dead-letters

redrive: $(READY) ## | Put back what is in the dead-letter queues
	@$(PIPELINE) redrive

release: $(READY) ## BATCH=YYYYMMDD [YES=1] | Deliver a batch that is held as it is (asks first, except on local)
	@$(PIPELINE) release $(BATCH)

replay: $(READY) ## BATCH=YYYYMMDD | Run a batch again
	@$(PIPELINE) replay $(BATCH)

republish: $(READY) ## BATCH=YYYYMMDD [YES=1] | Send a batch's messages again, with their old ids (asks first)
	@$(PIPELINE) republish $(BATCH)

logs: $(READY) ## [BATCH=YYYYMMDD] | Show the functions' logs in order
	@$(PIPELINE) logs $(BATCH)

doctor: $(READY) ## | Examine the environment: quotas, alarms, package, dead letters, batches; what to do
	@$(PIPELINE) doctor

purge: $(READY) ## [YES=1] | Empty bucket, queues and table (asks first, except on local)
	@$(PIPELINE) purge

bench: $(DEV_READY) ## [ARGS="transform --quick"] | Measure it and write docs/performance.md
	@$(PYTHON) -m benchmarks $(ARGS)

clean: ## | Stop the local AWS and remove everything that make made
	@if [ -x $(PYTHON) ] && [ -d build/local ]; then $(PIPELINE) local down >/dev/null; fi
	@rm -rf build .venv .coverage .coverage.* .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info report.html report_[0-9]*.html
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

##@ For developers

format: $(DEV_READY) ## | Format the Python and Terraform code
	@$(VENV)/bin/ruff check --fix-only --quiet .
	@$(VENV)/bin/ruff format --quiet .
	@$(PIPELINE) deploy format

lint-style: $(DEV_READY) ## | Only the style of the Python code
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .

lint-types: $(DEV_READY) ## | Only the types of the Python code
	@$(VENV)/bin/mypy lambda/pipeline scripts/pipeline_cli $(wildcard benchmarks)

lint-terraform: $(DEV_READY) $(CHECKOV_READY) $(ASL_READY) ## | Only the Terraform code: format, current provider, security
	@$(PIPELINE) deploy format --check
	@$(PYTHON) -m infra.tests.current_provider.terraform_check
	@LOG_LEVEL=ERROR $(dir $(CHECKOV_READY))bin/python -m checkov.main --directory infra --config-file infra/.checkov.yaml

test-unit: $(DEV_READY) ## [ARGS=lambda/tests/unit/reading] | Only the quick tests: no Terraform, no emulator
	@$(PYTHON) -m pytest -m "not terraform and not e2e and not slow and not spark" -n 2 --dist loadgroup $(ARGS)

test-terraform: $(DEV_READY) ## | Only the tests of the infrastructure's plan
	@$(PYTHON) -m pytest -m terraform $(ARGS)

test-e2e: $(DEV_READY) $(AWS_CLI_READY) ## | Only the end-to-end tests on local emulators
	@$(PYTHON) -m pytest -m "e2e and not privileges" $(ARGS)

test-privileges: $(DEV_READY) ## | Take each permission of each role away in turn, on a local emulator
	@$(PYTHON) -m pytest -m privileges $(ARGS)

test-spark: $(LARGE_READY) ## [ARGS="-k name"] | Compare days on Spark with the same days in the function (needs Java 17)
	@$(PYTHON) -m pytest lambda/tests/large $(ARGS)

tf-state: $(READY) ## ENV=... [YES=1] | Keep the state of an account's environment in S3 (makes the bucket; asks first)
	@$(PIPELINE) deploy state

local-up: $(READY) ## [MINISTACK_PORT=4566] | Start the local AWS
	@$(PIPELINE) local up

local-down: $(READY) ## | Stop the local AWS; what was in it is gone
	@$(PIPELINE) local down

command-docs: $(DEV_READY) ## | Write docs/commands.md from the commands' own help
	@$(PYTHON) -m scripts.tests.command_docs

lock: $(DEV_READY) ## | Lock the dependencies of pyproject.toml again
	@scripts/lock.sh $(VENV)/bin/uv

venv: $(DEV_READY) ## | Make the virtual environment .venv with everything in it

# --- the virtual environment -------------------------------------------------------------------------------

# A copied or moved checkout, or a Python that is gone, makes the environment unusable: start over then.
ifneq ($(shell $(PYTHON) -c 'print(open("$(VENV)/.home").read(), end="")' 2>/dev/null),$(CURDIR))
$(READY): FORCE
endif

$(READY): requirements-local.lock pyproject.toml
	@scripts/venv.sh $(VENV) requirements-local.lock $@

$(DEV_READY): requirements.lock $(READY)
	@scripts/venv.sh $(VENV) requirements.lock $@

build/asl-validator/.ready: infra/tests/asl/package-lock.json
	@echo "Installing asl-validator, which validates the state machine, into build/asl-validator…"
	@rm -rf $(@D) && mkdir -p $(@D) && cp infra/tests/asl/package.json infra/tests/asl/package-lock.json $(@D)
	@npm ci --prefix $(@D) --ignore-scripts --no-audit --no-fund --loglevel=error >/dev/null
	@touch $@

$(LARGE_READY): requirements-large.lock $(DEV_READY)
	@scripts/venv.sh $(VENV) requirements-large.lock $@

$(CHECKOV_READY): infra/tests/requirements.lock | $(DEV_READY)
	@echo "Installing checkov, which looks into the Terraform code, into build/checkov…"
	@rm -rf $(@D) && $(PYTHON) -m venv $(@D)
	@$(@D)/bin/python -m pip --disable-pip-version-check -qq install --no-deps --require-hashes -r $<
	@touch $@

$(AWS_CLI_READY): lambda/tests/e2e/requirements.lock | $(DEV_READY)
	@echo "Installing the AWS CLI, with which a test sends files, into build/aws-cli…"
	@rm -rf $(@D) && $(PYTHON) -m venv $(@D)
	@$(@D)/bin/python -m pip --disable-pip-version-check -qq install --no-deps --require-hashes -r $<
	@touch $@
