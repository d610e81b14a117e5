#!/usr/bin/env bash
# Makes or completes the virtual environment.            usage: venv.sh VENV LOCK STAMP
# It installs exactly what LOCK lists, by hash, and touches STAMP as its last act: an environment whose making
# was interrupted has no stamp (and still its .unfinished mark) and is made again from nothing.
# pip, not a faster installer: the machine's own index settings (pip.conf, PIP_*) are then in force.
set -euo pipefail
venv=$1 lock=$2 stamp=$3

usable() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

find_python() {
  local name
  for name in python3 python3.13 python3.12 python3.11 python3.14; do
    if usable "$name"; then echo "$name"; return; fi
  done
  echo "csv-pipeline needs Python 3.11 or newer and this machine has $(python3 --version 2>/dev/null || echo 'no python3')." \
       "Install it (Debian, Ubuntu: apt install python3.11 python3.11-venv; macOS: brew install python@3.13)." >&2
  return 1
}

if [ ! -e "$venv/.ready" ] || [ -e "$venv/.unfinished" ] || ! usable "$venv/bin/python" ||
   [ "$(cat "$venv/.home" 2>/dev/null)" != "$PWD" ]; then
  python=$(find_python)
  echo "Making the virtual environment $venv with $("$python" --version)…"
  rm -rf "$venv"
  if ! output=$("$python" -m venv "$venv" 2>&1); then
    rm -rf "$venv"
    echo "$python could not make a virtual environment (Debian, Ubuntu: apt install python3-venv): ${output##*$'\n'}" >&2
    exit 1
  fi
fi

count=$(grep -c '^[a-zA-Z0-9].*==' "$lock")
echo "Installing the $count pinned packages of $lock…"
: >"$venv/.unfinished"
pip() { "$venv/bin/python" -m pip --disable-pip-version-check -qq "$@" 2>>"$venv/.unfinished"; }
if ! pip install --no-deps --require-hashes -r "$lock" || ! pip install --no-deps --no-build-isolation --no-index -e .; then
  if grep -q "connection broken by\|Could not fetch URL" "$venv/.unfinished"; then
    echo "The Python package index is out of reach: check the network, or name a mirror of it (PIP_INDEX_URL)." >&2
  else
    grep -v "^WARNING" "$venv/.unfinished" >&2 || true
    echo "The packages of $lock could not be installed: pip's message above says why." >&2
  fi
  exit 1
fi
printf %s "$PWD" >"$venv/.home"
rm -f "$venv/.unfinished"
touch "$stamp"
