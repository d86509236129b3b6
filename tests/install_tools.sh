#!/usr/bin/env bash
# Installs psql, pgbench and a PostgreSQL 15 server from Debian's packages where that is possible
# (root, apt-get). Elsewhere it says which tests are left out for want of them.
set -euo pipefail
missing=()
command -v psql >/dev/null || missing+=(postgresql-client-15)
command -v pgbench >/dev/null || missing+=(postgresql-contrib)
[ -x /usr/lib/postgresql/15/bin/postgres ] || missing+=(postgresql-15)
command -v openssl >/dev/null || missing+=(openssl)
[ ${#missing[@]} -eq 0 ] && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    export DEBIAN_FRONTEND=noninteractive
    # A package's own cluster is not wanted: tests start theirs in a temporary directory.
    mkdir -p /etc/postgresql-common
    [ -e /etc/postgresql-common/createcluster.conf ] ||
        echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.conf
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
else
    echo "not installed (no root or no apt-get): ${missing[*]}"
    echo "left out: tests/clients (psql, pgbench) and the live differential tests"
fi
