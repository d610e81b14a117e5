#!/usr/bin/env bash
# Builds what a release consists of into build/release, with build/release-notes.md.            usage: release.sh vX.Y.Z
# The wheel of the packages pipeline and pipeline_cli, the Lambda package of each environment in infra/env, and the bill of
# materials (CycloneDX) of the packages in these.
set -euo pipefail
cd "$(dirname "$0")/.."
tag=${1:?usage: release.sh vX.Y.Z}

version=$(sed -n 's/^version = "\(.*\)"$/\1/p' pyproject.toml)
[ "$tag" = "v$version" ] || { echo "The tag is $tag, but pyproject.toml has version $version." >&2; exit 1; }
notes=$(awk -v heading="## $version" 'index($0, heading) == 1 { on = 1; next } /^## / { on = 0 } on' CHANGELOG.md)
[ -n "$notes" ] || { echo "CHANGELOG.md has nothing about $version." >&2; exit 1; }

rm -rf build/release && mkdir -p build/release
printf '%s\n' "$notes" > build/release-notes.md
make venv
.venv/bin/python -m pip --disable-pip-version-check wheel --quiet --no-deps --no-build-isolation --wheel-dir build/release .
for file in infra/env/*.tfvars; do
  name=$(basename "$file" .tfvars)
  [ "$name" = local ] && continue
  make package ENV="$name"
  cp "build/$name/pipeline.zip" "build/release/pipeline-$version-$name.zip"
done
scripts/sbom.sh build/release/sbom.cdx.json
(cd build/release && sha256sum -- * > SHA256SUMS)
echo "build/release:"; ls -l build/release
