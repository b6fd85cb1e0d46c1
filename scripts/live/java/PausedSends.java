import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendCallback;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.common.message.Message;

/**
 * Sends with the client's back-pressure on while the broker stands still, so that so many sends run out of their time, and more when it is well again.
 * It says "ready" and waits for a line, says "over" when all those have run out and waits for another, and counts what is stored of the rest.
 * Arguments: name server, topic, sends that run out, sends after that.
 */
public class PausedSends {
    private static final byte[] SMALL = new byte[100];
    private static final byte[] LARGE = new byte[300_000];

    public static void main(String[] args) throws Exception {
        int timeouts = Integer.parseInt(args[2]);
        int afterwards = Integer.parseInt(args[3]);
        DefaultMQProducer producer = new DefaultMQProducer("paused-" + ProcessHandle.current().pid());
        producer.setNamesrvAddr(args[0]);
        producer.setEnableBackpressureForAsyncMode(true);
        producer.setBackPressureForAsyncSendNum(64);
        producer.setBackPressureForAsyncSendSize(4 << 20);
        producer.setRetryTimesWhenSendAsyncFailed(2);
        // Compressed they would be small.
        producer.setCompressMsgBodyOverHowmuch(4 << 20);
        producer.start();
        producer.send(new Message(args[1] + "-warm", new byte[1]));
        say("ready");
        all(producer, args[1] + "-warm", timeouts, 20, true);
        say("over");
        int stored = all(producer, args[1], afterwards, 3000, false);
        System.out.printf("{\"client\":\"java %s\",\"expected\":%d,\"ok\":%d,\"lost\":%d}%n",
            System.getProperty("client.version"), afterwards, stored, afterwards - stored);
        System.out.flush();
        System.exit(0);
    }

    private static void say(String word) throws Exception {
        System.out.println(word);
        System.out.flush();
        while (System.in.read() != '\n') {
            // until the line is over
        }
    }

    private static int all(DefaultMQProducer producer, String topic, int count, long timeout, boolean someLarge) throws Exception {
        AtomicInteger stored = new AtomicInteger();
        CountDownLatch answered = new CountDownLatch(count);
        ExecutorService callers = Executors.newFixedThreadPool(64);
        for (int number = 0; number < count; number++) {
            Message message = new Message(topic, someLarge && number % 4 == 0 ? LARGE : SMALL);
            callers.submit(() -> {
                try {
                    producer.send(message, new SendCallback() {
                        @Override
                        public void onSuccess(SendResult result) {
                            stored.incrementAndGet();
                            answered.countDown();
                        }

                        @Override
                        public void onException(Throwable problem) {
                            answered.countDown();
                        }
                    }, timeout);
                } catch (Exception problem) {
                    answered.countDown();
                }
            });
        }
        answered.await(60, TimeUnit.SECONDS);
        callers.shutdownNow();
        return stored.get();
    }
}
