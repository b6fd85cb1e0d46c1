# Apache RocketMQ: a name server and one broker.
ROCKETMQ_VERSION=${ROCKETMQ_VERSION:-5.5.0}
NAMESRV_PORT=$(port 9876)
BROKER_PORT=$(port 10911)
PROCESSES="namesrv broker"
# The broker also listens on the ports two below and one above its own.
PORTS="$NAMESRV_PORT $BROKER_PORT $((BROKER_PORT - 2)) $((BROKER_PORT + 1))"
URL="127.0.0.1:$NAMESRV_PORT"
LIB="$LIVE_HOME/rocketmq-$ROCKETMQ_VERSION"

# The proxy's dependencies are all that broker, tools and Java client need.
install() { jars rocketmq "$ROCKETMQ_VERSION" org.apache.rocketmq:rocketmq-namesrv org.apache.rocketmq:rocketmq-broker org.apache.rocketmq:rocketmq-proxy; }

configure() {
  mkdir -p "$WORK/conf" "$WORK/store/config" "$WORK/logs"
  printf 'listenPort=%s\nbindAddress=127.0.0.1\n' "$NAMESRV_PORT" >"$WORK/namesrv.properties"
  # ROCKETMQ_EXTRA: more lines of configuration. What is not said: timerWheelEnable stays true, for without it nothing can be popped.
  cat >"$WORK/broker.properties" <<C
brokerClusterName=DefaultCluster
brokerName=broker-a
brokerId=0
brokerIP1=127.0.0.1
brokerIP2=127.0.0.1
bindAddress=127.0.0.1
listenPort=$BROKER_PORT
namesrvAddr=127.0.0.1:$NAMESRV_PORT
storePathRootDir=$WORK/store
storePathCommitLog=$WORK/store/commitlog
brokerRole=ASYNC_MASTER
flushDiskType=ASYNC_FLUSH
autoCreateTopicEnable=false
autoCreateSubscriptionGroup=true
traceTopicEnable=true
mappedFileSizeCommitLog=67108864
mappedFileSizeConsumeQueue=600000
maxIndexNum=100000
maxHashSlotNum=20000
diskMaxUsedSpaceRatio=95
registerNameServerPeriod=10000
# Every thread that stores keeps a buffer of the largest message: few threads, little memory.
pullMessageThreadPoolNums=4
litePullMessageThreadPoolNums=2
ackMessageThreadPoolNums=2
adminBrokerThreadPoolNums=4
${ROCKETMQ_EXTRA:-}
C
}

java_of() { # NAME HEAP MAIN ARGUMENT…
  local name=$1 heap=$2
  shift 2
  # What it calls the user home is where it puts its logs and offsets.
  ROCKETMQ_HOME="$WORK" NAMESRV_ADDR="127.0.0.1:$NAMESRV_PORT" launch "$name" "$WORK/logs/$name.out" \
    "$JAVA" -server -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -XX:-UsePerfData -Duser.home="$WORK" -Djava.net.preferIPv4Stack=true \
    -Xms"$heap" -Xmx"$heap" -XX:MaxDirectMemorySize=512m --add-exports=java.base/jdk.internal.ref=ALL-UNNAMED \
    --add-opens=java.base/java.nio=ALL-UNNAMED --add-opens=java.base/sun.nio.ch=ALL-UNNAMED --add-opens=java.base/java.util=ALL-UNNAMED \
    --add-opens=java.base/java.util.concurrent=ALL-UNNAMED -cp "$LIB/*" "$@"
}

start() {
  if ! alive "$WORK/namesrv.pid"; then
    free "$NAMESRV_PORT"
    java_of namesrv 96m org.apache.rocketmq.namesrv.NamesrvStartup -c "$WORK/namesrv.properties"
    await namesrv "$WORK/logs/namesrv.out" says "$WORK/logs/namesrv.out" "boot success"
  fi
  free "$BROKER_PORT" $((BROKER_PORT - 2)) $((BROKER_PORT + 1))
  java_of broker 256m org.apache.rocketmq.broker.BrokerStartup -n "127.0.0.1:$NAMESRV_PORT" -c "$WORK/broker.properties"
  await broker "$WORK/logs/broker.out" says "$WORK/logs/broker.out" "boot success"
  # It has booted, and the name server may hear of it only ten seconds later. Any change of its configuration makes it register at once.
  registered() { config brokerPermission=6 || true; has_route TBW102 || has_route RMQ_SYS_TRACE_TOPIC; }
  await broker "$WORK/logs/broker.out" registered
}

# --- the protocol, as far as a shell needs it: a length, the header's length, a header in JSON, a body ---
four() { printf '\\x%02x\\x%02x\\x%02x\\x%02x' $(($1 >> 24 & 255)) $(($1 >> 16 & 255)) $(($1 >> 8 & 255)) $(($1 & 255)); }
ask() ( # PORT CODE FIELDS BODY: the beginning of the answer
  header='{"code":'$2',"language":"OTHER","version":0,"opaque":1,"flag":0,"extFields":{'$3'},"serializeTypeCurrentRPC":"JSON"}'
  exec 3<>"/dev/tcp/127.0.0.1/$1" || exit 1
  printf "$(four $((4 + ${#header} + ${#4})))$(four ${#header})%s%s" "$header" "$4" >&3
  timeout 2 dd bs=65536 count=1 <&3
) 2>/dev/null
has_route() { ask "$NAMESRV_PORT" 105 "\"topic\":\"$1\"" '' | grep -qa brokerDatas; }
config() { ask "$BROKER_PORT" 25 '' "$1" | grep -qa '"code":0'; }
