#!/usr/bin/env bash
# Locks the dependencies of pyproject.toml, for every platform and by hash.            usage: lock.sh UV
# requirements.lock has everything; requirements-local.lock (what running it takes) and lambda/requirements.lock
# (what goes into the Lambda package) are parts of it, with the same versions; requirements-large.lock adds Spark, which
# only its own tests need. scripts/sbom.lock, infra/tests/requirements.lock and lambda/tests/e2e/requirements.lock are for
# virtual environments of their own.
set -euo pipefail
uv=$1
compile() {
  "$uv" pip compile "$@" --universal --python-version 3.11 --generate-hashes --no-annotate --quiet \
    --custom-compile-command "make lock"
}
compile pyproject.toml --extra operator --extra local --extra dev --extra bench --output-file requirements.lock
compile pyproject.toml --extra large --constraint requirements.lock --output-file requirements-large.lock
compile pyproject.toml --extra operator --extra local --constraint requirements.lock --output-file requirements-local.lock
compile lambda/requirements.in --constraint requirements.lock --output-file lambda/requirements.lock
compile scripts/sbom.in --output-file scripts/sbom.lock
compile infra/tests/requirements.in --output-file infra/tests/requirements.lock
compile lambda/tests/e2e/requirements.in --output-file lambda/tests/e2e/requirements.lock
