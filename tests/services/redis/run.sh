#!/usr/bin/env bash
# A Redis of the machine's package. Settings go to its command line; without any it keeps nothing on disk.
set -euo pipefail
. "$(dirname "$0")/../serve.sh"
needs redis-server
settings=("$@")

launch() {
  redis-server --port "$port" --bind 127.0.0.1 --dir "$state" --save '' --appendonly no "${settings[@]}" \
    >"$log" 2>&1 </dev/null &
  pids=($!)
}
answers() { grep -q 'Ready to accept connections' "$log"; }

serve
