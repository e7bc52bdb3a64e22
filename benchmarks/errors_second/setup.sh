#!/bin/sh
# Make the environment that make.py needs, in /tmp/second. Debian 12; PostgreSQL 15, Node, gcc, make, rustup, a JDK,
# Perl, jq, Terraform, kubectl, docker, wget, unzip and gpg are expected to be installed.
set -eu
root=/tmp/second
mkdir -p "$root/bin" "$root/deb" "$root/home"
chmod 700 "$root/home"
python3 -m venv "$root/venv"
"$root/venv/bin/pip" install -q requests aiohttp urllib3 botocore boto3 'psycopg[binary]' redis pymongo paramiko grpcio \
    jsonschema PyYAML lxml pyjwt dnspython docker sqlalchemy duckdb pandas numpy polars msgspec marshmallow click jinja2 \
    slack_sdk stripe PyGithub 'mcp<2' attrs cattrs tomlkit openpyxl pillow elasticsearch kubernetes networkx pyarrow
cd "$root/deb"
apt-get download redis-server redis-tools rsync libpopt0 libjemalloc2 liblzf1 libatomic1 liblua5.1-0 lua-cjson lua-bitop libxml2-utils
for package in *.deb; do dpkg -x "$package" root; done
for program in rsync xmllint; do ln -sf "$root/deb/root/usr/bin/$program" "$root/bin/$program"; done
cp "$root/deb/root/usr/bin/redis-check-rdb" "$root/bin/redis-server"  # one program under two names
