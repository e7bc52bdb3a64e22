#!/bin/sh
# Make the environment that make.py needs, in /tmp/third. Debian 12; Python 3.11, CMake, GDB, binutils, Tcl, sqlite3, zip,
# patch, iproute2, gettext and strace are expected to be installed. Debian's packages are unpacked, not installed.
set -eu
root=/tmp/third
mkdir -p "$root/deb" "$root/root"
python3 -m venv "$root/venv"
"$root/venv/bin/pip" install -q pymysql kafka-python pika ldap3 asyncssh zeep graphql-core django flask fastapi celery \
    protobuf fastavro pypdf python-dateutil arrow pendulum babel regex beautifulsoup4 pymemcache sympy shapely pint lark \
    pyparsing jsonpath-ng voluptuous websockets hvac minio h5py croniter sqlglot docutils
cd "$root/deb"
packages="mariadb-server-core mariadb-client-core ruby3.1 php8.2-cli lua5.4 gawk ffmpeg pandoc memcached nginx-light haproxy
    poppler-utils subversion mercurial p7zip-full restic rclone gnuplot-nox socat mosquitto-clients slapd"
# shellcheck disable=SC2046,SC2086
apt-get download -qq $(apt-get install -s --no-install-recommends $packages | awk '/^Inst/ {print $2}')
for package in *.deb; do dpkg -x "$package" "$root/root"; done
