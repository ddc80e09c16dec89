#!/usr/bin/env bash
# One OpenSearch node from its jars (about 50 MB) and a small main of ours; its nodes' talk takes the next port. Settings are
# the node's, `name=value`, such as thread_pool.write.size=1.
set -euo pipefail
. "$(dirname "$0")/../serve.sh"
settings=("$@")
needs java javac

compile() { rm -rf "$cache/classes" && javac -cp "$cache/lib/*" -d "$cache/classes" "$here/Node.java"; }
jars
once "node-$(sum "$here/Node.java")" compile

launch() {
  java -Xms512m -Xmx512m -XX:+UseSerialGC -Dlog4j2.configurationFile="$here/log4j2.properties" -Dlog4j2.disable.jmx=true \
    -Dopensearch.path.home="$state/node" -cp "$cache/classes:$cache/lib/*" \
    Node "$state/node" "$port" $((port + 1)) "${settings[@]}" >"$log" 2>&1 </dev/null &
  pids=($!)
}
answers() { grep -qx started "$log"; }

serve
