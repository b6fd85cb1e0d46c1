import java.nio.charset.StandardCharsets;
import java.util.Collection;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import org.apache.rocketmq.client.consumer.DefaultLitePullConsumer;
import org.apache.rocketmq.client.trace.TraceBean;
import org.apache.rocketmq.client.trace.TraceContext;
import org.apache.rocketmq.client.trace.TraceDataEncoder;
import org.apache.rocketmq.client.trace.TraceType;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;

/**
 * Reads the whole trace topic with RocketMQ's own decoder and counts, for one topic, the records of each kind and the different messages that they are of.
 * Arguments: name server, topic, and for records of handling the group (all groups if it is not given).
 */
public class ReadTraces {
    public static void main(String[] args) throws Exception {
        DefaultLitePullConsumer consumer = new DefaultLitePullConsumer("traces-" + ProcessHandle.current().pid());
        consumer.setNamesrvAddr(args[0]);
        consumer.setAutoCommit(false);
        consumer.start();
        Collection<MessageQueue> queues = consumer.fetchMessageQueues("RMQ_SYS_TRACE_TOPIC");
        consumer.assign(queues);
        for (MessageQueue queue : queues) {
            consumer.seekToBegin(queue);
        }
        int sent = 0;
        int before = 0;
        int after = 0;
        int unreadable = 0;
        Set<String> published = new HashSet<>();
        // What is there comes at once; some empty answers mean that it was all.
        for (int empty = 0; empty < 3;) {
            List<MessageExt> messages = consumer.poll(1000);
            empty = messages.isEmpty() ? empty + 1 : 0;
            for (MessageExt message : messages) {
                String text = new String(message.getBody(), StandardCharsets.UTF_8);
                List<TraceContext> contexts;
                try {
                    contexts = TraceDataEncoder.decoderFromTraceDataString(text);
                } catch (RuntimeException notOne) {
                    // The topic is open to everybody.
                    unreadable++;
                    continue;
                }
                for (TraceContext context : contexts) {
                    for (TraceBean bean : context.getTraceBeans()) {
                        if (context.getTraceType() == TraceType.Pub && args[1].equals(bean.getTopic())) {
                            sent++;
                            published.add(bean.getMsgId());
                        } else if (args.length > 2 && !args[2].equals(context.getGroupName())) {
                            continue;
                        } else if (context.getTraceType() == TraceType.SubBefore) {
                            before++;
                        } else if (context.getTraceType() == TraceType.SubAfter) {
                            after++;
                        }
                    }
                }
            }
        }
        System.out.printf("{\"topic\":\"%s\",\"published\":%d,\"messages\":%d,\"sub_before\":%d,\"sub_after\":%d,\"unreadable\":%d}%n",
            args[1], sent, published.size(), before, after, unreadable);
        consumer.shutdown();
        System.exit(0);
    }
}
