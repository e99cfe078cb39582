#!/usr/bin/env bash
# SPDX-License-Identifier: PostgreSQL
# deps.sh build|run PG_MAJOR: Debian's packages for one stage of the image; the package lists do not stay in the layer.
#
# build  compilers, the server's headers, Python's headers and pip
# run    Python and its library (ruvector_fdw runs it inside the server)
set -euo pipefail

stage=${1:?build or run} major=${2:?PG_MAJOR}
case $stage in
	build) packages=(build-essential "postgresql-server-dev-$major" python3 python3-dev python3-venv) ;;
	run) packages=(python3 libpython3.11) ;;
	*) echo "error: deps.sh build|run PG_MAJOR" >&2; exit 2 ;;
esac
export DEBIAN_FRONTEND=noninteractive
apt-get update -q
apt-get install -q -y --no-install-recommends "${packages[@]}"
rm -rf /var/lib/apt/lists/*
