# What the scripts of this folder share; sourced, not run. Settings, all with defaults:
#   LIVE_HOME     what is downloaded once and what the servers write            ~/.cache/winddown-live
#   LIVE_OFFSET   added to every port; another offset is another set of servers 0
#   LIVE_READY    seconds that a server may take until it is ready              90
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
LIVE_HOME=${LIVE_HOME:-${XDG_CACHE_HOME:-$HOME/.cache}/winddown-live}
LIVE_OFFSET=${LIVE_OFFSET:-0}
LIVE_READY=${LIVE_READY:-90}
LIVE_ALL="nats kafka rabbitmq rocketmq"
JAVA=${JAVA_HOME:+$JAVA_HOME/bin/}java

die() { echo "scripts/live: $*" >&2; exit 1; }
work_of() { echo "$LIVE_HOME/run-$LIVE_OFFSET/$1"; }
port() { echo $(($1 + LIVE_OFFSET)); }
port_open() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# One of ours runs if its pid is alive and was started by this set: a pid file may outlive a reboot.
alive() {
  local pid
  [ -s "$1" ] && pid=$(cat "$1") && kill -0 "$pid" 2>/dev/null || return 1
  [ -e /proc/self/status ] || return 0
  # A zombie is dead; and one that was reaped since the line above has no state at all.
  grep -qs '^State:[[:space:]]*[^ZX]' "/proc/$pid/status"
}

# free PORT…: none of them is taken. A process that was killed keeps its ports until its last thread is gone.
free() {
  local p end=$((SECONDS + 15))
  for p in "$@"; do
    while port_open "$p"; do
      [ $SECONDS -lt $end ] || die "port $p is taken by somebody else: stop that, or say LIVE_OFFSET=100"
      sleep 0.1
    done
  done
}

# package COMMAND_OR_FILE PACKAGE: is there, or is installed.
package() {
  if command -v "$1" >/dev/null || [ -x "$1" ]; then return; fi
  command -v apt-get >/dev/null && [ "$(id -u)" = 0 ] || die "$1 is missing: install the package $2"
  echo "installing $2" >&2
  export DEBIAN_FRONTEND=noninteractive
  # What the package starts by itself would take our ports.
  local log="$LIVE_HOME/install-$2.log"
  mkdir -p "$LIVE_HOME"
  { apt-get update && RUNLEVEL=1 apt-get install -y --no-install-recommends "$2"; } >"$log" 2>&1 </dev/null || { tail -5 "$log" >&2; die "$2 could not be installed (all of it: $log)"; }
  command -v "$1" >/dev/null || [ -x "$1" ] || die "$2 was installed, and $1 is still missing"
}

# jars NAME VERSION GROUP:ARTIFACT…: everything these need at run time, in $LIVE_HOME/NAME-VERSION.
jars() {
  local name=$1 version=$2 into="$LIVE_HOME/$1-$2" pom one
  shift 2
  [ -f "$into/complete" ] && return
  package "$JAVA" openjdk-17-jdk-headless
  package mvn maven
  mkdir -p "$into"
  pom="$into/pom.xml"
  {
    echo '<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>'
    echo "<groupId>live</groupId><artifactId>$name</artifactId><version>1</version><packaging>pom</packaging><dependencies>"
    for one in "$@"; do
      local parts=(${one//:/ })
      echo "<dependency><groupId>${parts[0]}</groupId><artifactId>${parts[1]}</artifactId><version>${parts[2]:-$version}</version></dependency>"
    done
    echo '</dependencies></project>'
  } >"$pom"
  echo "downloading $name $version" >&2
  mvn -q -B -f "$pom" org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies -DoutputDirectory="$into" -DincludeScope=runtime \
    >"$into/maven.log" 2>&1 </dev/null || { grep -m3 ERROR "$into/maven.log" >&2; die "the jars of $name could not be had (all of it: $into/maven.log)"; }
  touch "$into/complete"
}

# launch NAME LOG COMMAND…: in the background, in a session of its own, with its pid in NAME.pid.
launch() {
  local pid_file="$WORK/$1.pid" log=$2
  shift 2
  setsid nohup "$@" >"$log" 2>&1 </dev/null &
  echo $! >"$pid_file"
}

# await NAME LOG COMMAND…: until the command says yes, while NAME lives, for LIVE_READY seconds.
await() {
  local name=$1 log=$2 end=$((SECONDS + LIVE_READY))
  shift 2
  until "$@"; do
    alive "$WORK/$name.pid" || { tail -n 20 "$log" >&2; die "$name died while starting (all of it: $log)"; }
    [ $SECONDS -lt $end ] || { tail -n 20 "$log" >&2; "$HERE/down" --now "$SERVER" || true; die "$name was not ready within $LIVE_READY s (all of it: $log)"; }
    sleep 0.1
  done
}

says() { grep -qsa "$2" "$1"; }

# end_of NAME HOW: TERM, half a minute, KILL; or KILL at once. Every process that NAME left in its session goes with it.
end_of() {
  local file="$WORK/$1.pid" pid tries
  [ -s "$file" ] || return 0
  pid=$(cat "$file")
  kill -CONT "$pid" 2>/dev/null
  if alive "$file"; then
    [ "$2" = now ] && kill -KILL "$pid" || kill -TERM "$pid"
    for tries in $(seq 300); do alive "$file" || break; sleep 0.1; done
    if alive "$file"; then echo "$1 ($pid) did not heed SIGTERM: killed" >&2; kill -KILL "$pid"; fi
  fi
  rm -f "$file"
}

# Each server's file says: PROCESSES (the last started is the broker), PORTS, URL, install, configure, start, and stopped (what else is to be ended).
server() {
  SERVER=$1
  [ -f "$HERE/$1.sh" ] || die "there is no server $1, only: $LIVE_ALL"
  WORK=$(work_of "$1")
  stopped() { :; }
  . "$HERE/$1.sh"
}
