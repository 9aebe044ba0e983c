# shellcheck shell=bash
# Install what the tests need and is missing, then build and install the extension.  To be sourced.
#
#	prepare				all of it; leaves PG_CONFIG exported
#	prepare_packages	only install what is missing
#	prepare_build		only build and install
#
# PG_CONFIG chooses the server; without it, the one on the PATH or else the distribution's.
# Quiet: output is shown only when a step fails.

PREPARE_TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)

as_root()
{
	if [ "$(id -u)" -eq 0 ]; then
		"$@"
	elif command -v sudo >/dev/null; then
		sudo "$@"
	else
		echo "need root or sudo to run: $*" >&2
		return 1
	fi
}

# Run a command; show what it said only if it failed.
quietly()
{
	local output

	if ! output=$("$@" 2>&1 </dev/null); then
		printf '%s\n' "failed: $*" "$output" >&2
		return 1
	fi
}

apt_install()
{
	# RUNLEVEL=1: installing a server shall not start one.
	as_root env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 \
		apt-get -qq -y -o Dpkg::Use-Pty=0 --no-install-recommends install "$@"
}

# The major version of the chosen server: of pg_config, of its path, or of the distribution.
prepare_major()
{
	local version

	if version=$("$PG_CONFIG" --version 2>/dev/null); then
		version=${version#PostgreSQL }
		echo "${version%%[!0-9]*}"
	elif [[ $PG_CONFIG =~ ^/usr/lib/postgresql/([0-9]+)/bin/pg_config$ ]]; then
		echo "${BASH_REMATCH[1]}"
	else
		apt-cache depends postgresql 2>/dev/null |
			sed -n 's/^ *Depends: postgresql-\([0-9]*\)$/\1/p' | head -n 1
	fi
}

# Can an extension be built?  The makefiles come with Debian's client package, the headers do not.
prepare_can_build()
{
	[ -f "$("$PG_CONFIG" --pgxs 2>/dev/null)" ] &&
		[ -f "$("$PG_CONFIG" --includedir-server 2>/dev/null)/postgres.h" ]
}

# Print the packages that are missing for server version $1.
prepare_missing()
{
	local major=$1 sharedir

	command -v make >/dev/null || echo make
	command -v gcc >/dev/null || echo gcc libc6-dev
	if command -v gcc >/dev/null; then
		echo '#include <xxhash.h>' | gcc -E - >/dev/null 2>&1 || echo libxxhash-dev
	else
		echo libxxhash-dev
	fi
	perl -MIPC::Run -e 1 2>/dev/null || echo libipc-run-perl
	command -v prove >/dev/null || echo perl
	# the browser is for the test of the report
	[ -z "${PREPARE_BROWSER:-}" ] || command -v chromium >/dev/null || echo chromium
	# what the loaders of test/data read
	if [ -n "${PREPARE_DATA:-}" ]; then
		[ -f /usr/share/iso-codes/json/iso_3166-1.json ] || echo iso-codes
		[ -f /usr/share/zoneinfo/tzdata.zi ] || echo tzdata
		[ -f /usr/share/unicode/UnicodeData.txt ] || echo unicode-data
	fi
	command -v pg_prove >/dev/null || echo libtap-parser-sourcehandler-pgtap-perl

	sharedir=$("$PG_CONFIG" --sharedir 2>/dev/null) || sharedir=/usr/share/postgresql/$major
	[ -x "$("$PG_CONFIG" --bindir 2>/dev/null)/initdb" ] || echo "postgresql-$major"
	prepare_can_build || echo "postgresql-server-dev-$major"
	[ -f "$sharedir/extension/pgtap.control" ] || echo "postgresql-$major-pgtap"
	[ -f "$sharedir/extension/pg_cron.control" ] || echo "postgresql-$major-cron"
}

prepare_packages()
{
	local major missing

	PG_CONFIG=${PG_CONFIG:-pg_config}
	major=$(prepare_major)
	# Without package lists there is no telling what the distribution has.
	if [ -z "$major" ]; then
		quietly as_root apt-get -qq update || return 1
		major=$(prepare_major)
	fi
	if [ -z "$major" ]; then
		echo "no pg_config, and no postgresql package to install" >&2
		return 1
	fi

	mapfile -t missing < <(prepare_missing "$major" | tr ' ' '\n')
	if [ ${#missing[@]} -gt 0 ]; then
		echo "installing ${missing[*]}" >&2
		if ! apt_install "${missing[@]}" >/dev/null 2>&1 </dev/null; then
			quietly as_root apt-get -qq update || return 1
			quietly apt_install "${missing[@]}" || return 1
		fi
	fi
	if ! prepare_can_build; then
		PG_CONFIG=/usr/lib/postgresql/$major/bin/pg_config
	fi
	if ! prepare_can_build; then
		echo "no usable pg_config for PostgreSQL $major" >&2
		return 1
	fi
	export PG_CONFIG
}

prepare_build()
{
	local make=(make -s -C "$PREPARE_TOP" DEV=1 "PG_CONFIG=$PG_CONFIG")

	# The flags of a make that called us are not for the make that we call.
	unset MAKEFLAGS MFLAGS MAKELEVEL
	quietly "${make[@]}" -j "$(nproc)" all || return 1
	if [ -w "$("$PG_CONFIG" --pkglibdir)" ] && [ -w "$("$PG_CONFIG" --sharedir)/extension" ]; then
		quietly "${make[@]}" install
	else
		quietly as_root "${make[@]}" install
	fi
}

prepare()
{
	prepare_packages && prepare_build
}

if [ "${BASH_SOURCE[0]}" = "$0" ]; then
	set -euo pipefail
	prepare
fi
