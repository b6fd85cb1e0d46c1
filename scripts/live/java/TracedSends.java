import java.util.concurrent.CountDownLatch;
import java.util.concurrent.Semaphore;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendCallback;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.common.message.Message;

/**
 * Sends so many messages with the client's own tracing, so many at a time, and shuts the producer down when the last is answered.
 * Each message that was stored should leave one trace record. Arguments: name server, topic, messages, at a time.
 */
public class TracedSends {
    public static void main(String[] args) throws Exception {
        int count = Integer.parseInt(args[2]);
        DefaultMQProducer producer = new DefaultMQProducer("traced-" + ProcessHandle.current().pid(), true, null);
        producer.setNamesrvAddr(args[0]);
        producer.start();
        AtomicInteger stored = new AtomicInteger();
        Semaphore slots = new Semaphore(Integer.parseInt(args[3]));
        CountDownLatch answered = new CountDownLatch(count);
        for (int number = 0; number < count; number++) {
            slots.acquire();
            Message message = new Message(args[1], "tag", "key-" + number, ("message " + number).getBytes());
            producer.send(message, new SendCallback() {
                @Override
                public void onSuccess(SendResult result) {
                    stored.incrementAndGet();
                    slots.release();
                    answered.countDown();
                }

                @Override
                public void onException(Throwable problem) {
                    slots.release();
                    answered.countDown();
                }
            });
        }
        answered.await();
        producer.shutdown();
        System.out.printf("{\"client\":\"java %s\",\"stored\":%d}%n", System.getProperty("client.version"), stored.get());
        System.exit(0);
    }
}
