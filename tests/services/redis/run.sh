#!/usr/bin/env bash
# A Redis of the machine's package. Settings go to its command line; without any it keeps nothing on disk. With `tls` as the
# first of them it speaks TLS only.
set -euo pipefail
. "$(dirname "$0")/../serve.sh"
needs redis-server
listen=(--port "$port")
if [ "${1:-}" = tls ]; then
  shift
  certify
  listen=(--port 0 --tls-port "$port" --tls-cert-file "$state/tls.crt" --tls-key-file "$state/tls.key"
    --tls-ca-cert-file "$state/ca.crt" --tls-auth-clients no)
fi
settings=("$@")

launch() {
  redis-server "${listen[@]}" --bind 127.0.0.1 --dir "$state" --save '' --appendonly no "${settings[@]}" \
    >"$log" 2>&1 </dev/null &
  pids=($!)
}
answers() { grep -q 'Ready to accept connections' "$log"; }

serve
