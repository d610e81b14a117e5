#!/usr/bin/env bash
# Writes the bill of materials (CycloneDX) of the packages that lambda/requirements.lock locks.       usage: sbom.sh FILE
set -euo pipefail
file=$(realpath -m "${1:?usage: sbom.sh FILE}")
cd "$(dirname "$0")/.."
if [ ! build/sbom/.ready -nt scripts/sbom.lock ]; then
  rm -rf build/sbom && .venv/bin/python -m venv build/sbom
  build/sbom/bin/python -m pip --disable-pip-version-check -qq install --no-deps --require-hashes -r scripts/sbom.lock
  touch build/sbom/.ready
fi
build/sbom/bin/cyclonedx-py requirements lambda/requirements.lock --output-reproducible --of JSON --output-file "$file"
