import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendCallback;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.common.message.Message;

/**
 * Sends so many messages, so many at a time, with two retries as is the client's default, and counts those it was told are stored.
 * It says "ready", and begins when it is sent a line.
 * Arguments: name server, topic, messages, at a time, sync or async.
 */
public class Sends {
    private static final AtomicInteger OK = new AtomicInteger();

    public static void main(String[] args) throws Exception {
        String topic = args[1];
        int count = Integer.parseInt(args[2]);
        int atATime = Integer.parseInt(args[3]);
        DefaultMQProducer producer = new DefaultMQProducer("sends-" + ProcessHandle.current().pid());
        producer.setNamesrvAddr(args[0]);
        producer.setRetryTimesWhenSendFailed(2);
        producer.setRetryTimesWhenSendAsyncFailed(2);
        producer.start();
        System.out.println("ready");
        System.out.flush();
        while (System.in.read() != '\n') {
            // until the line is over
        }
        long began = System.nanoTime();
        if (args[4].equals("sync")) {
            sync(producer, topic, count, atATime);
        } else {
            async(producer, topic, count, atATime);
        }
        long took = (System.nanoTime() - began) / 1_000_000;
        System.out.printf("{\"client\":\"java %s %s\",\"expected\":%d,\"ok\":%d,\"lost\":%d,\"ms\":%d}%n",
            System.getProperty("client.version"), args[4], count, OK.get(), count - OK.get(), took);
        System.out.flush();
        producer.shutdown();
        System.exit(0);
    }

    private static Message message(String topic, int number) {
        return new Message(topic, ("message " + number).getBytes());
    }

    private static void sync(DefaultMQProducer producer, String topic, int count, int atATime) throws Exception {
        AtomicInteger next = new AtomicInteger();
        ExecutorService threads = Executors.newFixedThreadPool(atATime);
        for (int thread = 0; thread < atATime; thread++) {
            threads.submit(() -> {
                for (int number = next.getAndIncrement(); number < count; number = next.getAndIncrement()) {
                    try {
                        producer.send(message(topic, number));
                        OK.incrementAndGet();
                    } catch (Exception lost) {
                        // What a service does here is to write it into its log.
                    }
                }
            });
        }
        threads.shutdown();
        threads.awaitTermination(120, TimeUnit.SECONDS);
    }

    private static void async(DefaultMQProducer producer, String topic, int count, int atATime) throws Exception {
        Semaphore slots = new Semaphore(atATime);
        CountDownLatch answered = new CountDownLatch(count);
        for (int number = 0; number < count; number++) {
            slots.acquire();
            producer.send(message(topic, number), new SendCallback() {
                @Override
                public void onSuccess(SendResult result) {
                    OK.incrementAndGet();
                    slots.release();
                    answered.countDown();
                }

                @Override
                public void onException(Throwable lost) {
                    slots.release();
                    answered.countDown();
                }
            });
        }
        answered.await(120, TimeUnit.SECONDS);
    }
}
