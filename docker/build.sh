#!/usr/bin/env bash
# SPDX-License-Identifier: PostgreSQL
# build.sh PG_CONFIG VENV DESTDIR: from the sources around this script to what the image takes over.
#
# VENV     made anew: the Python package, its engine module, and what they need to run. It must be made where it will be
#          used, since the server is told its interpreter by this path.
# DESTDIR  the server's files, under the paths that PG_CONFIG names
set -euo pipefail

pg_config=${1:?PG_CONFIG} venv=${2:?VENV} destdir=${3:?DESTDIR}
top=$(cd "$(dirname "$0")/.." && pwd)
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore PIP_NO_INPUT=1

python3 -m venv "$venv"
mapfile -t needed < <("$venv/bin/python" - "$top/pyproject.toml" <<-'PYTHON'
	import sys, tomllib
	with open(sys.argv[1], "rb") as file:
	    print("\n".join(tomllib.load(file)["build-system"]["requires"]))
	PYTHON
)
"$venv/bin/pip" install -q "${needed[@]}"
"$venv/bin/pip" install -q --no-build-isolation "$top"
# What the package carries, built for this server.
"$venv/bin/ruvector" install --pg-config "$pg_config" --destdir "$destdir"
# Only the build needed these.
"$venv/bin/pip" uninstall -q -y nanobind
rm -rf "${venv:?}/var"
"$venv/bin/python" -c 'import ruvector_fdw._engine'
