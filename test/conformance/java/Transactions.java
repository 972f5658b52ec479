import java.io.FileReader;
import java.util.Properties;
import java.util.concurrent.ExecutionException;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;

/**
 * Transactions of one producer that write to a topic that may be written to, to one that may not, and to both. Arguments:
 * properties, the one topic, the other.
 */
public class Transactions {
    public static void main(String[] args) throws Exception {
        Properties config = new Properties();
        config.load(new FileReader(args[0]));
        String[][] transactions = {{args[1], args[2]}, {args[1]}, {args[2]}, {args[2], args[1]}, {args[1]}};
        try (KafkaProducer<String, String> producer = new KafkaProducer<>(config)) {
            producer.initTransactions();
            for (int i = 0; i < transactions.length; i++) {
                producer.beginTransaction();
                Throwable failure = null;
                for (String topic : transactions[i]) {
                    try {
                        producer.send(new ProducerRecord<>(topic, "java-" + i)).get();
                    } catch (ExecutionException e) {
                        failure = e.getCause();
                    } catch (RuntimeException e) { // the transaction has failed before
                        System.out.println(i + " also " + e.getClass().getSimpleName());
                    }
                }
                if (failure == null) {
                    producer.commitTransaction();
                    System.out.println(i + " committed");
                } else {
                    producer.abortTransaction();
                    System.out.println(i + " aborted after " + failure.getClass().getSimpleName());
                }
            }
        }
    }
}
