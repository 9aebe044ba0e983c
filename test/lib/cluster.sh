# shellcheck shell=bash
# A throw-away PostgreSQL server for the tests, the demonstration and the benchmark.  To be sourced.
#
#	cluster_start [SETTING...]	start one; each SETTING is a line of postgresql.conf
#	cluster_stop				stop it and remove its directory
#	cluster_log [LINES]			print the end of the server's log
#	at_exit COMMAND...			run COMMAND when the script ends, last registered first
#
# cluster_start exports PGHOST, PGPORT, PGUSER, PGDATABASE and a PATH that begins with the server's
# programs.  Everything lies in one temporary directory, CLUSTER_DIR.  However the script ends, the
# server is stopped and the directory removed.

CLUSTER_DIR=
AT_EXIT=()

at_exit()
{
	AT_EXIT+=("$(printf '%q ' "$@")")
}

# Put before a command, runs it as the user who may own a server: root may not.
AS_SERVER_USER=()
if [ "$(id -u)" -eq 0 ]; then
	AS_SERVER_USER=(runuser -u postgres --)
fi

# Make a temporary directory that the server's user owns.  Prints its name.
server_mktemp()
{
	local dir base=${TMPDIR:-/tmp}

	# The path of a socket may have 107 characters, and the server's user must get there.
	if [ ${#base} -gt 50 ] || ! "${AS_SERVER_USER[@]}" test -x "$base" -a -w "$base"; then
		base=/tmp
	fi
	dir=$(mktemp -d "$base/migrate_ext.XXXXXX")
	if [ "$(id -u)" -eq 0 ]; then
		chown postgres: "$dir"
	fi
	echo "$dir"
}

# A TCP port nobody listens on.  The default server listens on no port, but a setting may change that.
free_port()
{
	local port

	while :; do
		port=$((49152 + RANDOM % 16000))
		if ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
			echo "$port"
			return
		fi
	done
}

cluster_start()
{
	local bindir setting

	bindir=$("${PG_CONFIG:-pg_config}" --bindir)
	export PATH=$bindir:$PATH
	unset PGHOSTADDR PGSERVICE PGSERVICEFILE PGPASSWORD PGPASSFILE PGOPTIONS PGSSLMODE PGDATA
	CLUSTER_DIR=$(server_mktemp)
	export PGHOST=$CLUSTER_DIR PGUSER=postgres PGDATABASE=postgres PSQLRC=/dev/null
	PGPORT=$(free_port)
	export PGPORT

	if ! (cd "$CLUSTER_DIR" && "${AS_SERVER_USER[@]}" "$bindir/initdb" -D "$CLUSTER_DIR/data" -U postgres \
		-A trust -E UTF8 --no-locale --no-sync) >"$CLUSTER_DIR/initdb.log" 2>&1; then
		cat "$CLUSTER_DIR/initdb.log" >&2
		return 1
	fi
	{
		cat <<-CONF
			port = $PGPORT
			unix_socket_directories = '$CLUSTER_DIR'
			listen_addresses = ''
			timezone = 'UTC'
			fsync = off
			shared_buffers = 256MB
			max_wal_size = 2GB
			max_worker_processes = 16
			max_prepared_transactions = 20
			wal_level = logical
		CONF
		for setting in "$@"; do
			printf '%s\n' "$setting"
		done
	} >>"$CLUSTER_DIR/data/postgresql.conf"
	cluster_control start -w -l "$CLUSTER_DIR/server.log" >/dev/null || {
		cluster_log
		return 1
	}
}

# pg_ctl on the cluster, for instance: cluster_control restart -m immediate -w
cluster_control()
{
	(cd "$CLUSTER_DIR" && "${AS_SERVER_USER[@]}" pg_ctl -s -D "$CLUSTER_DIR/data" "$@")
}

cluster_log()
{
	if [ -n "$CLUSTER_DIR" ] && [ -s "$CLUSTER_DIR/server.log" ]; then
		echo "--- end of the server's log"
		tail -n "${1:-50}" "$CLUSTER_DIR/server.log"
	fi >&2
}

cluster_stop()
{
	if [ -n "$CLUSTER_DIR" ]; then
		if [ -f "$CLUSTER_DIR/data/postmaster.pid" ]; then
			cluster_control stop -w -m immediate >/dev/null 2>&1 || true
		fi
		rm -rf "$CLUSTER_DIR"
		CLUSTER_DIR=
	fi
}

cluster_exit()
{
	local status=$1 i

	trap '' INT TERM HUP
	set +e
	for ((i = ${#AT_EXIT[@]} - 1; i >= 0; i--)); do
		eval "${AT_EXIT[i]}"
	done
	if [ "$status" -ne 0 ] && [ "$status" -lt 128 ]; then
		cluster_log
	fi
	cluster_stop
	exit "$status"
}

trap 'cluster_exit $?' EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
