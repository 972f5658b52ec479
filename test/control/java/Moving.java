import java.io.BufferedReader;
import java.io.FileReader;
import java.io.InputStreamReader;
import java.time.Duration;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.stream.Collectors;
import org.apache.kafka.clients.consumer.CommitFailedException;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.InvalidProducerEpochException;
import org.apache.kafka.common.errors.InvalidTxnStateException;
import org.apache.kafka.common.errors.ProducerFencedException;
import org.apache.kafka.common.errors.RebalanceInProgressException;

/**
 * An application that can be moved: instances that are started and ended by lines of standard input, each with a file of
 * properties that says where it connects and as whom. The other settings are here, and the same wherever it runs.
 *
 * <pre>
 * start NAME count FILE TOPIC ID          writes 1, 2, 3, … in transactions, going on behind the last that was committed
 * start NAME copy FILE FROM TO GROUP ID   consumes, and produces the same, exactly once; static.member is in the FILE
 * start NAME read FILE TOPIC GROUP        consumes, and commits what it has printed
 * stop NAME                               as a good application ends
 * crash NAME                              with its transaction left open
 * </pre>
 */
public class Moving {
    public static void main(String[] args) throws Exception {
        Map<String, Instance> running = new HashMap<>();
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in));
        for (String line; (line = in.readLine()) != null; ) {
            String[] words = line.split(" ");
            switch (words[0]) {
                case "start":
                    Instance started = new Instance(words);
                    running.put(words[1], started);
                    started.start();
                    break;
                case "crash":
                    running.get(words[1]).crashing = true;
                    break;
                default:
                    running.get(words[1]).stopping = true;
            }
        }
        System.exit(0);
    }

    static void say(String format, Object... args) {
        String line = String.format(format, args);
        synchronized (System.out) {
            System.out.println(line);
        }
    }

    static class Instance extends Thread {
        final String[] words;
        volatile boolean stopping, crashing;

        Instance(String[] words) {
            this.words = words;
        }

        @Override
        public void run() {
            String name = words[1], outcome = "stopped";
            try {
                switch (words[2]) {
                    case "count" -> count(words[4], words[5]);
                    case "copy" -> copy(words[4], words[5], words[6], words[7]);
                    default -> read(words[4], words[5]);
                }
                if (crashing) {
                    outcome = "crashed";
                }
            } catch (ProducerFencedException | InvalidProducerEpochException | InvalidTxnStateException e) {
                outcome = "fenced"; // the last when the successor's epoch is the next one, which a repeated commit has, too (KIP-890)
            } catch (Throwable e) {
                outcome = "failed: " + e;
                e.printStackTrace();
            }
            say("%s %s", name, outcome);
        }

        Properties config(String... more) throws Exception {
            Properties p = new Properties();
            p.load(new FileReader(words[3]));
            for (int i = 0; i < more.length; i += 2) {
                p.put(more[i], more[i + 1]);
            }
            return p;
        }

        KafkaProducer<String, String> producer(String id) throws Exception {
            String serializer = "org.apache.kafka.common.serialization.StringSerializer";
            KafkaProducer<String, String> producer = new KafkaProducer<>(config("key.serializer", serializer, "value.serializer", serializer, "transactional.id", id));
            try {
                producer.initTransactions();
            } catch (RuntimeException e) {
                producer.close(Duration.ZERO);
                throw e;
            }
            return producer;
        }

        KafkaConsumer<String, String> consumer(String... more) throws Exception {
            String deserializer = "org.apache.kafka.common.serialization.StringDeserializer";
            Properties p = config("key.deserializer", deserializer, "value.deserializer", deserializer, "isolation.level", "read_committed", "enable.auto.commit", "false",
                "auto.offset.reset", "earliest", "max.poll.records", "50");
            for (int i = 0; i < more.length; i += 2) {
                p.put(more[i], more[i + 1]);
            }
            if (!p.containsKey("group.id")) {
                p.remove("group.instance.id");
                p.remove("group.protocol");
            }
            return new KafkaConsumer<>(p);
        }

        void count(String topic, String id) throws Exception {
            KafkaProducer<String, String> producer = producer(id);
            try {
                long next = last(topic) + 1;
                while (!stopping) {
                    producer.beginTransaction();
                    for (int i = 0; i < 5; i++, next++) {
                        producer.send(new ProducerRecord<>(topic, "key-" + next % 16, Long.toString(next)));
                    }
                    producer.flush();
                    if (crashing) {
                        return;
                    }
                    producer.commitTransaction();
                    say("%s committed %d", words[1], next - 1);
                    Thread.sleep(20);
                }
            } finally {
                producer.close(crashing ? Duration.ZERO : Duration.ofSeconds(30)); // at once, and nothing is aborted
            }
        }

        /** The greatest number that was committed. */
        long last(String topic) throws Exception {
            try (KafkaConsumer<String, String> consumer = consumer()) {
                List<TopicPartition> all = consumer.partitionsFor(topic).stream().map(p -> new TopicPartition(topic, p.partition())).collect(Collectors.toList());
                consumer.assign(all);
                consumer.seekToBeginning(all);
                Map<TopicPartition, Long> ends = consumer.endOffsets(all);
                long last = 0;
                while (all.stream().anyMatch(p -> consumer.position(p) < ends.get(p))) {
                    for (ConsumerRecord<String, String> r : consumer.poll(Duration.ofMillis(100))) {
                        last = Math.max(last, Long.parseLong(r.value()));
                    }
                }
                return last;
            }
        }

        void copy(String from, String to, String group, String id) throws Exception {
            try (KafkaConsumer<String, String> consumer = consumer("group.id", group); KafkaProducer<String, String> producer = producer(id)) {
                consumer.subscribe(List.of(from), listener(consumer, false));
                while (!stopping) {
                    ConsumerRecords<String, String> records = consumer.poll(Duration.ofMillis(100));
                    if (records.isEmpty()) {
                        continue;
                    }
                    try {
                        producer.beginTransaction();
                        for (ConsumerRecord<String, String> r : records) {
                            producer.send(new ProducerRecord<>(to, r.key(), r.value()));
                        }
                        producer.sendOffsetsToTransaction(behind(records), consumer.groupMetadata());
                        producer.commitTransaction();
                        say("%s copied %d", words[1], records.count());
                    } catch (ProducerFencedException | InvalidProducerEpochException e) {
                        throw e;
                    } catch (KafkaException e) { // the group has moved on: what was read is read again, by whoever has it now
                        say("%s aborted: %s", words[1], e.getClass().getSimpleName());
                        producer.abortTransaction();
                        consumer.committed(consumer.assignment()).forEach((p, at) -> {
                            if (at == null) {
                                consumer.seekToBeginning(List.of(p));
                            } else {
                                consumer.seek(p, at.offset());
                            }
                        });
                    }
                }
            }
        }

        void read(String topic, String group) throws Exception {
            try (KafkaConsumer<String, String> consumer = consumer("group.id", group)) {
                consumer.subscribe(List.of(topic), listener(consumer, true));
                while (!stopping) {
                    for (ConsumerRecord<String, String> r : consumer.poll(Duration.ofMillis(100))) {
                        say("%s record %d %d %s %s", words[1], r.partition(), r.offset(), r.key(), r.value());
                    }
                    commit(consumer);
                }
                commit(consumer);
            }
        }

        /** Commits what was read, unless the group moves on: then the next poll does, before it gives partitions up. */
        void commit(KafkaConsumer<String, String> consumer) {
            try {
                consumer.commitSync();
            } catch (RebalanceInProgressException | CommitFailedException e) { // the latter of the new protocol
                say("%s waits for the group: %s", words[1], e.getClass().getSimpleName());
            }
        }

        ConsumerRebalanceListener listener(KafkaConsumer<String, String> consumer, boolean commits) {
            return new ConsumerRebalanceListener() {
                @Override
                public void onPartitionsRevoked(Collection<TopicPartition> partitions) {
                    if (commits) {
                        commit(consumer);
                    }
                }

                @Override
                public void onPartitionsAssigned(Collection<TopicPartition> partitions) {
                    say("%s assigned %d", words[1], partitions.size());
                }
            };
        }

        Map<TopicPartition, OffsetAndMetadata> behind(ConsumerRecords<String, String> records) {
            Map<TopicPartition, OffsetAndMetadata> out = new HashMap<>();
            for (TopicPartition p : records.partitions()) {
                List<ConsumerRecord<String, String>> all = records.records(p);
                out.put(p, new OffsetAndMetadata(all.get(all.size() - 1).offset() + 1));
            }
            return out;
        }
    }
}
