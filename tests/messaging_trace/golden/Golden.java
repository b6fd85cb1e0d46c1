import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.apache.rocketmq.client.AccessChannel;
import org.apache.rocketmq.client.producer.LocalTransactionState;
import org.apache.rocketmq.client.trace.TraceBean;
import org.apache.rocketmq.client.trace.TraceContext;
import org.apache.rocketmq.client.trace.TraceDataEncoder;
import org.apache.rocketmq.client.trace.TraceType;
import org.apache.rocketmq.common.message.MessageType;

/** Writes the golden files with RocketMQ's own encoder, or, with `--read FILE…`, shows what its own decoder makes of files. */
public class Golden {
    static final String REQUEST = "0A0B0C0D0E0F101112131415161718FF";
    static final String FIRST = "00000191C2D4A5B60000000000000011";
    static final String SECOND = "00000191C2D4A5B60000000000000012";

    public static void main(String[] args) throws Exception {
        if (args.length > 0 && args[0].equals("--read")) {
            for (int i = 1; i < args.length; i++) {
                read(Path.of(args[i]));
            }
            return;
        }
        StringBuilder batch = new StringBuilder();
        for (MessageType type : MessageType.values()) {
            String data = encode(pub(type));
            write("pub_" + type.name().toLowerCase(), data);
            batch.append(data);
        }
        TraceContext nothing = context(TraceType.Pub, new TraceBean());
        nothing.setRegionId(null);
        TraceBean bean = nothing.getTraceBeans().get(0);
        bean.setTopic("orders");
        bean.setMsgId(FIRST);
        bean.setTags(null);
        bean.setKeys(null);
        bean.setStoreHost(null);
        bean.setOffsetMsgId(null);
        bean.setMsgType(MessageType.Normal_Msg);
        nothing.setSuccess(false);
        write("pub_nulls", encode(nothing));

        TraceContext before = context(TraceType.SubBefore, handled(FIRST, "order-17", 0), handled(SECOND, null, 3));
        write("sub_before_two", encode(before));
        batch.append(encode(before));

        for (int code = 0; code < 5; code++) {
            TraceContext after = context(TraceType.SubAfter, handled(FIRST, "order-17 größe", 0));
            after.setContextCode(code);
            after.setSuccess(code == 0);
            after.setCostTime(12 + code);
            write("sub_after_code_" + code, encode(after));
            batch.append(encode(after));
        }
        TraceContext two = context(TraceType.SubAfter, handled(FIRST, null, 0), handled(SECOND, "", 0));
        write("sub_after_two", encode(two));
        two.setAccessChannel(AccessChannel.CLOUD);
        write("sub_after_cloud", encode(two));
        write("batch", batch.toString());

        TraceContext end = pub(MessageType.Trans_msg_Commit);
        end.setTraceType(TraceType.EndTransaction);
        end.getTraceBeans().get(0).setTransactionId("tx-1");
        end.getTraceBeans().get(0).setTransactionState(LocalTransactionState.COMMIT_MESSAGE);
        TraceContext recall = pub(MessageType.Delay_Msg);
        recall.setTraceType(TraceType.Recall);
        write("other_kinds", encode(end) + encode(pub(MessageType.Normal_Msg)) + encode(recall));
    }

    static TraceContext pub(MessageType type) {
        TraceBean bean = new TraceBean();
        bean.setTopic("orders");
        bean.setMsgId(FIRST);
        bean.setTags("created");
        bean.setKeys("order-17 customer-4");
        bean.setStoreHost("10.1.2.3:10911");
        bean.setBodyLength(9);
        bean.setMsgType(type);
        bean.setOffsetMsgId("0A01020300002A9F0000000000000DD5");
        TraceContext context = context(TraceType.Pub, bean);
        context.setCostTime(7);
        return context;
    }

    static TraceBean handled(String id, String keys, int retries) {
        TraceBean bean = new TraceBean();
        bean.setTopic("orders");
        bean.setMsgId(id);
        bean.setKeys(keys);
        bean.setRetryTimes(retries);
        return bean;
    }

    static TraceContext context(TraceType type, TraceBean... beans) {
        TraceContext context = new TraceContext();
        context.setTraceType(type);
        context.setTimeStamp(1725000000123L);
        context.setRegionId("DefaultRegion");
        context.setGroupName("billing");
        context.setRequestId(REQUEST);
        context.setAccessChannel(AccessChannel.LOCAL);
        context.setTraceBeans(new ArrayList<>(List.of(beans)));
        return context;
    }

    static String encode(TraceContext context) {
        return TraceDataEncoder.encoderFromContextBean(context).getTransData();
    }

    static void write(String name, String data) throws Exception {
        Files.write(Path.of(name + ".trace"), data.getBytes(StandardCharsets.UTF_8));
    }

    static void read(Path file) throws Exception {
        String text = new String(Files.readAllBytes(file), StandardCharsets.UTF_8);
        for (TraceContext context : TraceDataEncoder.decoderFromTraceDataString(text)) {
            TraceBean bean = context.getTraceBeans().get(0);
            System.out.println(context.getTraceType() + " time=" + context.getTimeStamp() + " region=" + context.getRegionId() + " group=" + context.getGroupName()
                + " request=" + (context.getTraceType() == TraceType.Pub ? "-" : context.getRequestId()) + " message=" + bean.getMsgId() + " topic=" + bean.getTopic()
                + " tags=" + bean.getTags() + " keys=" + bean.getKeys() + " retries=" + bean.getRetryTimes() + " cost=" + context.getCostTime()
                + " type=" + bean.getMsgType() + " code=" + context.getContextCode() + " success=" + context.isSuccess());
        }
    }
}
