# serve.sh: what every run.sh has in common; sourced by it, and called last as `serve`.
#
#   run.sh CACHE STATE PORT [SETTING...]: a server on 127.0.0.1, for as long as standard input stays open
#
#   CACHE    where what was fetched or built is kept from run to run; filled when it is empty
#   STATE    the run's own folder for data and logs; removed at the end
#   PORT     of the clients; those after it are the server's as well
#   SETTING  the server's own, in its own words
#
# Prints one line, `ready`, once the server answers. Then it takes words, a line each: `kill` ends the server as a crash would
# and answers `killed`; `start` starts it again on its data and answers `ready`. When standard input ends (its other end is
# the test process, whatever way that dies), the server is stopped by its pid. Exit code 3: it cannot be had here.
#
# The run.sh gives two functions: `launch` starts the server's processes in the background, logging to $log, and puts their
# pids into the array `pids`; `answers` succeeds once the server does.

here=$(cd "$(dirname "$0")" && pwd)
cache=$1 state=$2 port=$3
shift 3
log=$state/server.log pids=()
mkdir -p "$cache" "$state"
trap stop EXIT

# Standard error is a pipe to the test; should it be gone, there is still a server to stop.
trap : PIPE

# needs PROGRAM...: gives up when one is not installed.
needs() {
  local program
  for program; do
    command -v "$program" >/dev/null || { echo "$program is not installed" >&2; exit 3; }
  done
}

# once NAME COMMAND...: runs the command unless it has succeeded in this cache; two runs that start together run it once.
once() {
  local mark=$cache/$1.complete
  shift
  exec 9>"$cache/.lock"
  flock 9
  if [ ! -f "$mark" ]; then
    # What another version of it has made is about to be overwritten.
    rm -f "${mark%-*}"-*.complete
    "$@" </dev/null >&2 || { echo "this failed: $*" >&2; exit 3; }
    touch "$mark"
  fi
  exec 9>&-
}

# sum FILE...: a short word for what is in the files, for the name of what is made of them.
sum() { cat "$@" | cksum | cut -d' ' -f1; }

# Puts the jars that pom.xml names into $cache/lib.
jars() { once "jars-$(sum "$here/pom.xml")" fetch_jars; }
fetch_jars() {
  needs mvn
  rm -rf "$cache/lib"
  mvn -B -ntp -q -f "$here/pom.xml" dependency:copy-dependencies -DoutputDirectory="$cache/lib" -DincludeScope=runtime
}

# Makes $state/tls.key and $state/tls.crt for 127.0.0.1, from an authority of its own whose certificate is $state/ca.crt.
certify() {
  needs openssl
  local new=(-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes)
  {
    openssl req -x509 "${new[@]}" -keyout "$state/ca.key" -out "$state/ca.crt" -subj /CN=tests -days 2
    openssl req "${new[@]}" -keyout "$state/tls.key" -out "$state/tls.csr" -subj /CN=127.0.0.1
    openssl x509 -req -in "$state/tls.csr" -CA "$state/ca.crt" -CAkey "$state/ca.key" -CAcreateserial -days 2 \
      -extfile <(echo 'subjectAltName=IP:127.0.0.1,DNS:localhost') -out "$state/tls.crt"
  } >"$log" 2>&1 </dev/null || { cat "$log" >&2; exit 1; }
}

# alive PID: it runs, and is not a dead process that nobody has asked after.
alive() { [ -d /proc/"$1" ] && ! grep -qs '^State:[[:space:]]*Z' /proc/"$1"/status; }

start() {
  local pid
  # What it said before it was killed is not to be taken for an answer.
  : >"$log"
  launch
  for _ in $(seq 900); do
    if answers; then return 0; fi
    for pid in "${pids[@]}"; do alive "$pid" || { tail -40 "$log" >&2; return 1; }; done
    sleep 0.1
  done
  tail -40 "$log" >&2
  echo "it did not answer in 90 s" >&2
  return 1
}

# offspring PID: its children, grandchildren and so on.
offspring() {
  local child
  for child in $(cat /proc/"$1"/task/*/children 2>/dev/null); do echo "$child"; offspring "$child"; done
}

# Ends the server's processes in the middle of whatever they do, and waits until they are gone with their ports and files.
crash() {
  local pid born=()
  [ ${#pids[@]} -gt 0 ] || return 0
  # Halted first, so that no child is born unseen.
  kill -STOP "${pids[@]}" 2>/dev/null || true
  for pid in "${pids[@]}"; do born+=($(offspring "$pid")); done
  kill -KILL "${pids[@]}" "${born[@]}" 2>/dev/null || true
  # Not `alive`: a process of many threads looks dead while some of them still hold its port.
  wait "${pids[@]}" || true
  for pid in "${born[@]}"; do while alive "$pid"; do sleep 0.01; done; done
  pids=()
}

stop() {
  local pid
  for pid in "${pids[@]}"; do kill -"${stop_signal:-TERM}" "$pid" 2>/dev/null || true; done
  for pid in "${pids[@]}"; do
    for _ in $(seq 150); do alive "$pid" || break; sleep 0.1; done
  done
  crash
  rm -rf "$state"
}

serve() {
  start || exit 1
  echo ready
  local word
  while read -r word; do
    case $word in
      kill) crash; echo killed ;;
      start) start || exit 1; echo ready ;;
    esac
  done
}
