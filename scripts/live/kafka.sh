# One Apache Kafka node without ZooKeeper: broker and controller in one process. Two ports above its own, it wants a password: orders, right.
KAFKA_VERSION=${KAFKA_VERSION:-4.3.1}
KAFKA_PORT=$(port 9092)
KAFKA_CONTROLLER=$(port 9093)
KAFKA_SASL=$(port 9094)
PROCESSES="kafka"
PORTS="$KAFKA_PORT $KAFKA_CONTROLLER $KAFKA_SASL"
URL="127.0.0.1:$KAFKA_PORT"
LIB="$LIVE_HOME/kafka-$KAFKA_VERSION"

install() { jars kafka "$KAFKA_VERSION" org.apache.kafka:kafka_2.13 org.slf4j:slf4j-simple:1.7.36; }

tool() { "$JAVA" -XX:TieredStopAtLevel=1 -cp "$LIB/*" kafka.tools.StorageTool "$@"; }

configure() {
  # KAFKA_EXTRA: more lines of configuration.
  cat >"$WORK/server.properties" <<C
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$KAFKA_CONTROLLER
listeners=PLAINTEXT://127.0.0.1:$KAFKA_PORT,CONTROLLER://127.0.0.1:$KAFKA_CONTROLLER,SASL://127.0.0.1:$KAFKA_SASL
advertised.listeners=PLAINTEXT://127.0.0.1:$KAFKA_PORT,SASL://127.0.0.1:$KAFKA_SASL
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL:SASL_PLAINTEXT
listener.name.sasl.sasl.enabled.mechanisms=PLAIN
listener.name.sasl.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_orders="right";
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
log.dirs=$WORK/data
num.partitions=4
# A name mistyped is an error then, not a topic.
auto.create.topics.enable=false
offsets.topic.num.partitions=1
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
# A group's first member need not wait for others.
group.initial.rebalance.delay.ms=0
# In the newer protocol of groups this is the server's to say.
group.consumer.min.heartbeat.interval.ms=500
group.consumer.heartbeat.interval.ms=500
num.network.threads=2
num.io.threads=2
log.cleaner.enable=false
log.segment.bytes=16777216
log.index.size.max.bytes=1048576
${KAFKA_EXTRA:-}
C
}

start() {
  local log="$WORK/out"
  free $PORTS
  [ -d "$WORK/data" ] || tool format -t "$(tool random-uuid 2>/dev/null | tail -1)" -c "$WORK/server.properties" >"$WORK/format" 2>&1 ||
    { tail -5 "$WORK/format" >&2; die "kafka's storage could not be made (all of it: $WORK/format)"; }
  launch kafka "$log" "$JAVA" -server -Xms192m -Xmx192m -XX:MaxDirectMemorySize=128m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -XX:-UsePerfData \
    -Djava.net.preferIPv4Stack=true -Dorg.slf4j.simpleLogger.showDateTime=true -cp "$LIB/*" kafka.Kafka "$WORK/server.properties"
  await kafka "$log" says "$log" "Kafka Server started"
  await kafka "$log" port_open "$KAFKA_PORT"
}
