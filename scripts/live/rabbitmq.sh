# A RabbitMQ node of our own, with Debian's package: its own epmd, its own folder, guest/guest.
RABBIT_PORT=$(port 5672)
RABBIT_EPMD=$(port 43690)
RABBIT_DIST=$(port 25690)
PROCESSES="rabbitmq"
PORTS="$RABBIT_PORT $RABBIT_DIST"
URL="amqp://guest:guest@127.0.0.1:$RABBIT_PORT/%2f"
# The programs in /usr/sbin change to another user; these do not.
RABBIT_BIN=/usr/lib/rabbitmq/bin
export ERL_EPMD_PORT=$RABBIT_EPMD ERL_EPMD_ADDRESS=127.0.0.1 LANG=C.UTF-8 \
  RABBITMQ_NODENAME="winddown$LIVE_OFFSET@localhost" RABBITMQ_NODE_IP_ADDRESS=127.0.0.1 RABBITMQ_NODE_PORT=$RABBIT_PORT RABBITMQ_DIST_PORT=$RABBIT_DIST \
  RABBITMQ_MNESIA_BASE="$WORK/data" RABBITMQ_LOG_BASE="$WORK/logs" RABBITMQ_PID_FILE="$WORK/node.pid" RABBITMQ_CONFIG_FILE="$WORK/rabbitmq" \
  RABBITMQ_ENABLED_PLUGINS_FILE="$WORK/plugins" RABBITMQ_CONF_ENV_FILE="$WORK/env.conf" \
  RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS="+S 2:2 +sbwt none -kernel inet_dist_use_interface {127,0,0,1}"

install() { package "$RABBIT_BIN/rabbitmq-server" rabbitmq-server; }

configure() {
  mkdir -p "$WORK/home" "$WORK/logs"
  echo '[].' >"$WORK/plugins"
  : >"$WORK/env.conf"
  cat >"$WORK/rabbitmq.conf" <<C
listeners.tcp.default = 127.0.0.1:$RABBIT_PORT
log.console = false
disk_free_limit.absolute = 50MB
vm_memory_high_watermark.absolute = 768MB
# Small, so that it can be tried what happens beyond it.
max_message_size = 8388608
C
  rm -f "$WORK/home/.erlang.cookie"
  printf winddown >"$WORK/home/.erlang.cookie"
  chmod 400 "$WORK/home/.erlang.cookie"
}

start() {
  free $PORTS
  rm -f "$WORK/node.pid" "$WORK"/logs/*
  # The script ends in the virtual machine itself, which writes its own pid.
  HOME="$WORK/home" launch script "$WORK/out" "$RABBIT_BIN/rabbitmq-server"
  cp "$WORK/script.pid" "$WORK/rabbitmq.pid"
  await rabbitmq "$WORK/out" test -s "$WORK/node.pid"
  cp "$WORK/node.pid" "$WORK/rabbitmq.pid"
  rabbit_started() { grep -qsa "Server startup complete" "$WORK"/logs/*.log && port_open "$RABBIT_PORT"; }
  await rabbitmq "$WORK/out" rabbit_started
}

# control COMMAND…: asks the running node.
control() { HOME="$WORK/home" "$RABBIT_BIN/rabbitmqctl" --quiet --node "$RABBITMQ_NODENAME" "$@"; }

stopped() { ! command -v epmd >/dev/null || epmd -port "$RABBIT_EPMD" -kill >/dev/null 2>&1 || true; }
