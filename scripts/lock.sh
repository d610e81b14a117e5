#!/usr/bin/env bash
# Locks the dependencies of pyproject.toml, for every platform and by hash.            usage: lock.sh UV
# requirements.lock has everything; requirements-local.lock (what running it takes) and lambda/requirements.lock
# (what goes into the Lambda package) are parts of it, with the same versions.
set -euo pipefail
uv=$1
compile() {
  "$uv" pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --no-annotate --quiet \
    --custom-compile-command "make lock" "$@"
}
compile --all-extras --output-file requirements.lock
compile --extra cli --extra local --constraint requirements.lock --output-file requirements-local.lock
compile --constraint requirements.lock --output-file lambda/requirements.lock
