package judge;

import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.ExecutionException;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/** Clients of a running cluster, and what its consumers read. */
final class Cluster implements AutoCloseable {
    final String servers;
    final Admin admin;

    Cluster(String servers) {
        this.servers = servers;
        this.admin = Admin.create(Map.of("bootstrap.servers", servers, "default.api.timeout.ms", "180000"));
    }

    @Override
    public void close() {
        admin.close(Duration.ofSeconds(5));
    }

    void create(String topic, int partitions, int replicas, String... settings) throws Exception {
        Map<String, String> configs = new HashMap<>();
        for (int at = 0; at < settings.length; at += 2) {
            configs.put(settings[at], settings[at + 1]);
        }
        NewTopic wanted = new NewTopic(topic, partitions, (short) replicas).configs(configs);
        for (int tries = 0; ; tries++) {
            try {
                admin.createTopics(List.of(wanted)).all().get();
                return;
            } catch (ExecutionException e) {
                // A broker that has just started has not yet told the controller so.
                if (tries == 50) {
                    throw e;
                }
                Thread.sleep(200);
            }
        }
    }

    /** A producer; its records go out only when it is flushed, so that the batches are known. */
    KafkaProducer<byte[], byte[]> producer(String... settings) {
        Map<String, Object> all = new HashMap<>();
        all.put("bootstrap.servers", servers);
        all.put("linger.ms", "600000");
        all.put("delivery.timeout.ms", "700000");
        all.put("batch.size", "1000000");
        for (int at = 0; at < settings.length; at += 2) {
            all.put(settings[at], settings[at + 1]);
        }
        return new KafkaProducer<>(all, new ByteArraySerializer(), new ByteArraySerializer());
    }

    KafkaConsumer<byte[], byte[]> consumer(String... settings) {
        Map<String, Object> all = new HashMap<>();
        all.put("bootstrap.servers", servers);
        all.put("enable.auto.commit", "false");
        all.put("auto.offset.reset", "earliest");
        all.put("exclude.internal.topics", "false");
        for (int at = 0; at < settings.length; at += 2) {
            all.put(settings[at], settings[at + 1]);
        }
        return new KafkaConsumer<>(all, new ByteArrayDeserializer(), new ByteArrayDeserializer());
    }

    static Json json(ConsumerRecord<byte[], byte[]> record) {
        return Json.of("offset", record.offset())
            .and("timestamp", record.timestamp())
            .and("epoch", record.leaderEpoch().map(Long::valueOf).orElse(null))
            .and("key", record.key())
            .and("value", record.value())
            .and("headers", record.headers().toArray());
    }

    /** What Kafka's consumer reads of a partition from its start to its end. */
    List<String> read(TopicPartition partition, String isolation) {
        List<String> lines = new ArrayList<>();
        try (var consumer = consumer("isolation.level", isolation)) {
            consumer.assign(List.of(partition));
            consumer.seekToBeginning(List.of(partition));
            long end = consumer.endOffsets(List.of(partition)).get(partition);
            while (consumer.position(partition) < end) {
                consumer.poll(Duration.ofMillis(500)).forEach(record -> lines.add(json(record).toString()));
            }
        }
        return lines;
    }
}
