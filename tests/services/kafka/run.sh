#!/usr/bin/env bash
# run.sh CACHE STATE PORT: one Apache Kafka broker on 127.0.0.1, for as long as standard input stays open.
#
#   CACHE  where jars are kept from run to run; filled by Maven when it is empty (about 50 MB)
#   STATE  the run's own folder for data and logs; removed at the end
#   PORT   of the clients; the controller takes the next one
#
# Prints one line, `ready`, once the broker answers. When standard input ends (its other end is the test process, whatever
# way that dies), the broker is stopped by its pid. Exit code 3: it cannot be had here.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cache=$1 state=$2 port=$3

command -v java >/dev/null || { echo "java is not installed" >&2; exit 3; }
mkdir -p "$cache" "$state"

# 1. The jars, once; two runs that start together do not fetch into each other.
(
  flock 9
  [ -f "$cache/lib/.complete" ] && exit 0
  command -v mvn >/dev/null || { echo "mvn is not installed, and the jars are not in $cache" >&2; exit 3; }
  rm -rf "$cache/lib"
  mvn -B -ntp -q -f "$here/pom.xml" dependency:copy-dependencies -DoutputDirectory="$cache/lib" -DincludeScope=runtime >&2 \
    || { echo "Maven could not fetch the jars" >&2; exit 3; }
  touch "$cache/lib/.complete"
) 9>"$cache/.lock"

# 2. Configuration: every wait that a test would notice is short.
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

# 3. Format the data folder.
java -Xmx128m -XX:TieredStopAtLevel=1 -cp "$cache/lib/*" kafka.tools.StorageTool format -t 5L6g3nShT-eMCtK--X86sw \
  -c "$state/server.properties" >"$state/format.log" 2>&1 || { cat "$state/format.log" >&2; exit 1; }

# 4. Run. An archive of loaded classes, made at the first clean exit, shortens later starts.
archive=$cache/kafka.jsa
if [ -f "$archive" ]; then classes=-XX:SharedArchiveFile=$archive; else classes=-XX:ArchiveClassesAtExit=$archive; fi
java -Xms256m -Xmx512m -XX:+UseG1GC -Xshare:auto "$classes" -Xlog:cds=off -Xlog:cds+dynamic=off \
  -Dlog4j2.configurationFile="$here/log4j2.properties" -cp "$cache/lib/*" \
  kafka.Kafka "$state/server.properties" >"$state/kafka.log" 2>&1 </dev/null &
broker=$!
stop() {
  kill -TERM "$broker" 2>/dev/null || true
  for _ in $(seq 150); do kill -0 "$broker" 2>/dev/null || break; sleep 0.1; done
  kill -KILL "$broker" 2>/dev/null || true
  rm -rf "$state"
}
trap stop EXIT
for _ in $(seq 900); do
  grep -q 'Kafka Server started' "$state/kafka.log" && break
  kill -0 "$broker" 2>/dev/null || { tail -40 "$state/kafka.log" >&2; exit 1; }
  sleep 0.1
done
grep -q 'Kafka Server started' "$state/kafka.log" || { echo "the broker did not start in 90 s" >&2; exit 1; }
echo ready

# 5. Until the other end of standard input is gone.
cat >/dev/null
