#!/usr/bin/env bash
# A Redis Cluster: three masters at PORT, PORT + 1 and PORT + 2, no replicas; their bus takes the three ports after those.
set -euo pipefail
. "$(dirname "$0")/../serve.sh"
needs redis-server redis-cli

launch() {
  local node
  pids=()
  : | tee "$state"/{0,1,2}.log
  for node in 0 1 2; do
    mkdir -p "$state/$node"
    redis-server --port $((port + node)) --cluster-port $((port + 3 + node)) --bind 127.0.0.1 --dir "$state/$node" \
      --save '' --appendonly yes --appendfsync no --cluster-enabled yes >"$state/$node.log" 2>&1 </dev/null &
    pids+=($!)
  done
}

# Every node says that all slots are served.
agreed() {
  local node
  for node in 0 1 2; do
    redis-cli -p $((port + node)) cluster info 2>/dev/null | grep -q '^cluster_state:ok' || return 1
  done
}

answers() {
  local node
  for node in 0 1 2; do
    grep -q 'Ready to accept connections' "$state/$node.log" || { cat "$state"/?.log >"$log"; return 1; }
  done
  if [ ! -f "$state/made" ]; then
    redis-cli --cluster create 127.0.0.1:{"$port",$((port + 1)),$((port + 2))} --cluster-yes </dev/null >>"$log" 2>&1 || return 1
    touch "$state/made"
  fi
  agreed
}

serve
