#!/usr/bin/env bash
# One Apache Kafka broker from its jars (about 50 MB); its controller takes the next port.
set -euo pipefail
. "$(dirname "$0")/../serve.sh"
needs java
jars

# Every wait that a test would notice is short.
cat > "$state/server.properties" <<CONF
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$((port + 1))
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listeners=PLAINTEXT://127.0.0.1:$port,CONTROLLER://127.0.0.1:$((port + 1))
advertised.listeners=PLAINTEXT://127.0.0.1:$port
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs=$state/data
num.network.threads=2
num.io.threads=4
log.cleaner.dedupe.buffer.size=16777216
log.cleaner.backoff.ms=1000
offsets.topic.replication.factor=1
offsets.topic.num.partitions=2
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=2
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
auto.create.topics.enable=false
CONF

java -Xmx128m -XX:TieredStopAtLevel=1 -cp "$cache/lib/*" kafka.tools.StorageTool format -t 5L6g3nShT-eMCtK--X86sw \
  -c "$state/server.properties" </dev/null >"$state/format.log" 2>&1 || { cat "$state/format.log" >&2; exit 1; }

# An archive of loaded classes, made at the first clean exit, shortens later starts.
launch() {
  local archive=$cache/kafka.jsa classes
  if [ -f "$archive" ]; then classes=-XX:SharedArchiveFile=$archive; else classes=-XX:ArchiveClassesAtExit=$archive; fi
  java -Xms256m -Xmx512m -XX:+UseG1GC -Xshare:auto "$classes" -Xlog:cds=off -Xlog:cds+dynamic=off \
    -Dlog4j2.configurationFile="$here/log4j2.properties" -cp "$cache/lib/*" \
    kafka.Kafka "$state/server.properties" >"$log" 2>&1 </dev/null &
  pids=($!)
}
answers() { grep -q 'Kafka Server started' "$log"; }

serve
