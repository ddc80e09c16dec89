#!/usr/bin/env bash
# A PostgreSQL of the machine's package, over TCP only; anyone may log in as `postgres`. Settings are `name=value`. With `tls`
# as the first of them it offers TLS as well.
#
# It never waits for the disk, so it outlives its own crash and not the machine's. What it has acknowledged is in the hands
# of the operating system by then (synchronous_commit stays on): a crash of the server loses nothing.
set -euo pipefail
. "$(dirname "$0")/../serve.sh"
bin=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -1 || true)
[ -n "$bin" ] || bin=$(dirname "$(command -v postgres || echo /none/postgres)")
[ -x "$bin/initdb" ] || { echo "postgresql is not installed" >&2; exit 3; }
settings=()
if [ "${1:-}" = tls ]; then
  shift
  certify
  settings=(-c ssl=on -c ssl_cert_file="$state/tls.crt" -c ssl_key_file="$state/tls.key")
fi
for setting; do settings+=(-c "$setting"); done
# To stop without waiting for clients.
stop_signal=INT

# The server refuses to run as root.
as=()
if [ "$(id -u)" = 0 ]; then
  id postgres >/dev/null 2>&1 || { echo "there is no user postgres to run it as" >&2; exit 3; }
  as=(setpriv --reuid=postgres --regid=postgres --init-groups)
  chown -R postgres: "$state"
fi

make_cluster() {
  (cd "$state" && "${as[@]}" "$bin/initdb" -D "$state/data" -U postgres -A trust --no-sync -E UTF8 --locale=C) >"$log" 2>&1 </dev/null \
    || { cat "$log" >&2; exit 1; }
}

launch() {
  [ -f "$state/data/PG_VERSION" ] || make_cluster
  (cd "$state" && exec "${as[@]}" "$bin/postgres" -D "$state/data" -p "$port" -c listen_addresses=127.0.0.1 \
    -c unix_socket_directories= -c fsync=off -c full_page_writes=off "${settings[@]}") >>"$log" 2>&1 </dev/null &
  pids=($!)
}
answers() { grep -q 'database system is ready to accept connections' "$log"; }

serve
