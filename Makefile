# Every task of this project has a short target. `make` alone lists them.
# ENV=local (the default) means the local AWS, an emulator on this machine; ENV=<name> uses infra/env/<name>.tfvars.

ENV ?= local
export ENV MINISTACK_PORT YES FILE DIR OUT
# Settings for other Python projects must not affect this project's virtual environment.
unexport PYTHONPATH PYTHONHOME PYTHONDONTWRITEBYTECODE PIP_USER PIP_TARGET

.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory --no-builtin-rules
SHELL := /bin/bash

VENV     := .venv
PYTHON   := $(VENV)/bin/python
PIPELINE := CALLED_BY=make $(PYTHON) -m pipeline_cli.app --env $(ENV)
# Stamp files of one virtual environment: installed are the packages for operators, and those for developers.
READY     := $(VENV)/.ready
DEV_READY := $(VENV)/.ready-dev
# Spark is large, and only test-spark and `check --engine spark` need it.
LARGE_READY := $(VENV)/.ready-large
# Checkov has an environment of its own, as it needs other versions of some packages.
CHECKOV_READY := build/checkov/.ready
# Validates the state machine, if Node.js is installed.
ASL_READY := $(if $(shell command -v npm),build/asl-validator/.ready)
# The AWS CLI, with which a test sends files as a partner does; it needs another version of botocore.
AWS_CLI_READY := build/aws-cli/.ready

# A variable that none of the targets reads would be ignored: it is refused, as a typo might act on something else.
COMMON := ENV MINISTACK_PORT YES ARGS PIPELINE
GIVEN  := $(foreach name,$(.VARIABLES),$(if $(filter command,$(firstword $(origin $(name)))),$(name)))
ifneq ($(filter-out $(COMMON),$(GIVEN)),)
READ := $(shell sed -nE 's/^($(subst $() $(),|,$(or $(strip $(MAKECMDGOALS)),help))):.* \#\# (.*) \| .*/\2/p' Makefile | grep -oE '[A-Z_]+=' | tr -d =)
ifneq ($(filter-out $(COMMON) $(READ),$(GIVEN)),)
$(error make $(MAKECMDGOALS) reads no $(filter-out $(COMMON) $(READ),$(GIVEN)): see make help)
endif
endif

.PHONY: help demo test lint package tf-init tf-plan tf-apply tf-destroy upload status messages check feedback errors report \
	redrive release replay logs backfill rehearse doctor purge bench clean format lock command-docs contracts \
	lint-style lint-types lint-terraform test-unit test-terraform test-e2e test-privileges test-scenarios test-spark \
	test-planted tf-state local-up local-down \
	venv FORCE

help: ## | List the targets
	@awk -f scripts/help.awk $(MAKEFILE_LIST)

##@ Main targets (ENV=local is the default of each)

demo: $(READY) ## | Start a local AWS, deploy to it, send a sample day and show the results
	@$(PIPELINE) demo

test: $(DEV_READY) $(AWS_CLI_READY) ## [ARGS="-k name"] | Run every test but test-privileges, test-scenarios and test-spark, with the coverage gate; with ARGS only those
	@$(PYTHON) -m pytest -m "not privileges and not scenarios and not spark" -n 4 $(if $(ARGS),$(ARGS),--cov --cov-report=term-missing)

lint: lint-style lint-types lint-terraform ## | Check style, types, and the Terraform code's format and security

package: $(READY) ## | Build the Lambda package build/<env>/pipeline.zip and, with large_days, that of their job
	@$(PIPELINE) package

tf-init: $(READY) ## | Initialise Terraform (and for local: the offline provider)
	@$(PIPELINE) deploy init

tf-plan: package ## | Show what tf-apply would change
	@$(PIPELINE) deploy plan

tf-apply: package ## | Deploy (asks first, except on local; YES=1 does not ask)
	@$(PIPELINE) deploy apply

tf-destroy: $(READY) ## | Undo tf-apply
	@$(PIPELINE) deploy destroy

upload: $(READY) ## FILE=... [DATE=YYYYMMDD] | Send a file, or those of a folder, to incoming/
	@$(PIPELINE) upload $(if $(DATE),--date $(DATE)) $${FILE:+-- "$$FILE"}

status: $(READY) ## [BATCH=YYYYMMDD] [WATCH=1] | Show each batch: files, state, counts, errors
	@$(PIPELINE) status $(BATCH) $(if $(WATCH),--watch)

messages: $(READY) ## | Show the messages in the output queue
	@$(PIPELINE) messages

check: $(READY) ## DIR=... [BATCH=YYYYMMDD] [OUT=FILE] | Check the files of a day in a folder, as the pipeline would
	@$(PIPELINE) check $(if $(BATCH),--batch $(BATCH)) $${OUT:+--out "$$OUT"} $${DIR:+-- "$$DIR"}

feedback: $(READY) ## BATCH=YYYYMMDD | Show the verdict on a batch as the partner reads it
	@$(PIPELINE) feedback $(BATCH)

errors: $(READY) ## BATCH=YYYYMMDD | Show the errors of a batch
	@$(PIPELINE) errors $(BATCH)

report: $(READY) ## [BATCH=YYYYMMDD] [ALL=1] [OUT=FILE] | Write an HTML page about a batch or, without BATCH, about all
	@$(PIPELINE) report $(BATCH) $(if $(ALL),--all) $${OUT:+--out "$$OUT"}

redrive: $(READY) ## [LIST=1] [BATCH=YYYYMMDD] [YES=1] | Move the dead letters back, to be tried again; LIST only shows them and why they failed; BATCH sends a day's messages again (asks first)
	@$(PIPELINE) redrive $(BATCH) $(if $(LIST),--list)

release: $(READY) ## BATCH=YYYYMMDD [YES=1] | Deliver a held batch as it is (asks first, except on local)
	@$(PIPELINE) release $(BATCH)

replay: $(READY) ## BATCH=YYYYMMDD | Run a batch again
	@$(PIPELINE) replay $(BATCH)

logs: $(READY) ## [BATCH=YYYYMMDD] [SINCE=2h] | Show the functions' logs in order
	@$(PIPELINE) logs $(BATCH) $(if $(SINCE),--since $(SINCE))

backfill: $(READY) ## [FROM=YYYYMMDD] [TO=YYYYMMDD] [YES=1] | Run days whose files are there without the pipeline having noticed (asks first)
	@$(PIPELINE) backfill $(if $(FROM),--from $(FROM)) $(if $(TO),--to $(TO))

rehearse: $(READY) ## [DAYS=30] | Show what this checkout would change about the last days, without writing anything there
	@$(PIPELINE) rehearse $(if $(DAYS),--days $(DAYS))

doctor: $(READY) ## | Check the environment (quotas, alarms, package, dead letters, batches) and say what to do
	@$(PIPELINE) doctor

purge: $(READY) ## [YES=1] | Empty bucket, queues and table (asks first, except on local)
	@$(PIPELINE) purge

bench: $(DEV_READY) ## [ARGS="transform --quick"] | Run the benchmarks and write docs/performance.md
	@$(PYTHON) -m benchmarks $(ARGS)

clean: ## | Stop the local AWS and delete everything that make created
	@if [ -x $(PYTHON) ] && [ -d build/local ]; then $(PIPELINE) local down >/dev/null; fi
	@rm -rf build .venv .coverage .coverage.* .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

##@ For developers

format: $(DEV_READY) ## | Format the Python and Terraform code
	@$(VENV)/bin/ruff check --fix-only --quiet .
	@$(VENV)/bin/ruff format --quiet .
	@$(PIPELINE) deploy format

lint-style: $(DEV_READY) ## | Only the style of the Python code
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/zizmor --offline --quiet --no-progress .github/workflows

lint-types: $(DEV_READY) ## | Only the types of the Python code
	@$(VENV)/bin/mypy lambda/pipeline scripts/pipeline_cli $(wildcard benchmarks)

lint-terraform: $(DEV_READY) $(CHECKOV_READY) $(ASL_READY) ## | Only the Terraform code: format, current provider, security
	@$(PIPELINE) deploy format --check
	@$(PYTHON) -m infra.tests.current_provider.terraform_check
	@LOG_LEVEL=ERROR $(dir $(CHECKOV_READY))bin/python -m checkov.main --directory infra --config-file infra/.checkov.yaml

test-unit: $(DEV_READY) ## [ARGS=lambda/tests/unit/reading] | Only the quick tests: no Terraform, no emulator
	@$(PYTHON) -m pytest -m "not terraform and not e2e and not slow and not spark" -n 3 $(ARGS)

test-terraform: $(DEV_READY) ## | Only the tests of the infrastructure's plan
	@$(PYTHON) -m pytest -m terraform $(ARGS)

test-e2e: $(DEV_READY) $(AWS_CLI_READY) ## | Only the end-to-end tests on local emulators
	@$(PYTHON) -m pytest -m "e2e and not privileges and not scenarios" $(ARGS)

test-scenarios: $(DEV_READY) $(AWS_CLI_READY) ## [ARGS="-k name"] | Act out the rows of the runbook and the ways to send of the partner's guide that need the deployed stack
	@$(PYTHON) -m pytest -m scenarios $(ARGS)

test-privileges: $(DEV_READY) ## | Remove each permission of each role in turn and expect a failure, on a local emulator
	@$(PYTHON) -m pytest -m privileges $(ARGS)

test-spark: $(LARGE_READY) ## [ARGS="-k name"] | Compare the results of Spark with those of the function (needs Java 17)
	@$(PYTHON) -m pytest lambda/tests/large -m "not privileges" -n 2 $(ARGS)

test-planted: $(DEV_READY) ## [ARGS="'infra/*'"] | Plant small faults into copies of the tree and expect the tests to find each
	@$(PYTHON) -m lambda.tests.planted $(ARGS)

tf-state: $(READY) ## ENV=... [YES=1] | Move an environment's Terraform state to S3 (creates the bucket; asks first)
	@$(PIPELINE) deploy state

local-up: $(READY) ## [MINISTACK_PORT=4566] | Start the local AWS
	@$(PIPELINE) local up

local-down: $(READY) ## | Stop the local AWS and discard everything in it
	@$(PIPELINE) local down

command-docs: $(DEV_READY) ## | Write docs/commands.md from the commands' own help
	@$(PYTHON) -m scripts.tests.command_docs

contracts: $(DEV_READY) ## | Write docs/contracts from the data model
	@$(PYTHON) -m lambda.tests.contract_documents

lock: $(DEV_READY) ## | Lock the dependencies of pyproject.toml again
	@scripts/lock.sh $(VENV)/bin/uv

venv: $(DEV_READY) ## | Create the virtual environment .venv with all packages for developers

# --- the virtual environment -------------------------------------------------------------------------------

# After the checkout was copied or moved, or its Python removed, the environment is unusable and is created again.
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
	@echo "Installing checkov, which checks the Terraform code, into build/checkov…"
	@rm -rf $(@D) && $(PYTHON) -m venv $(@D)
	@$(@D)/bin/python -m pip --disable-pip-version-check -qq install --no-deps --require-hashes -r $<
	@touch $@

$(AWS_CLI_READY): lambda/tests/e2e/requirements.lock | $(DEV_READY)
	@echo "Installing the AWS CLI, with which a test sends files, into build/aws-cli…"
	@rm -rf $(@D) && $(PYTHON) -m venv $(@D)
	@$(@D)/bin/python -m pip --disable-pip-version-check -qq install --no-deps --require-hashes -r $<
	@touch $@
