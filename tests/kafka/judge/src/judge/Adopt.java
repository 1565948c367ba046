package judge;

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.TopicDescription;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.TopicPartitionInfo;
import org.apache.kafka.common.header.Header;

/** Topics of a cluster whose files were given to it, as its clients see them. Each word list comes from the input, a line each. */
final class Adopt {
    private final Cluster cluster;

    private Adopt(Cluster cluster) {
        this.cluster = cluster;
    }

    static void main(String[] words) throws Exception {
        var lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8)).lines().toList();
        try (var cluster = new Cluster(words[1])) {
            var adopt = new Adopt(cluster);
            if (words[0].equals("commit")) {
                adopt.commit(lines);
                return;
            }
            if (words[0].equals("append")) {
                adopt.append(lines);
                return;
            }
            for (String line : lines) {
                String[] rest = line.split("\t", -1);
                switch (words[0]) {
                    case "create" -> cluster.create(rest[0], Integer.parseInt(rest[1]), Integer.parseInt(rest[2]),
                        Arrays.copyOfRange(rest, 3, rest.length));
                    case "read" -> adopt.read(rest[0]);
                    case "go-on" -> adopt.goOn(rest[0], rest[1]);
                    default -> throw new IllegalArgumentException(words[0]);
                }
            }
        }
    }

    /** Lines are group, topic, partition, offset. */
    private void commit(List<String> lines) throws Exception {
        Map<String, Map<TopicPartition, OffsetAndMetadata>> groups = new TreeMap<>();
        for (String line : lines) {
            String[] words = line.split("\t", -1);
            var place = new TopicPartition(words[1], Integer.parseInt(words[2]));
            groups.computeIfAbsent(words[0], group -> new HashMap<>()).put(place, new OffsetAndMetadata(Long.parseLong(words[3])));
        }
        for (var group : groups.entrySet()) {
            cluster.admin.alterConsumerGroupOffsets(group.getKey(), group.getValue()).all().get();
        }
    }

    private List<TopicPartition> partitions(String topic) throws Exception {
        TopicDescription described = cluster.admin.describeTopics(List.of(topic)).topicNameValues().get(topic).get();
        return described.partitions().stream().map(each -> new TopicPartition(topic, each.partition())).toList();
    }

    private static boolean isWhole(TopicPartitionInfo partition) {
        return partition.leader() != null && partition.isr().size() == partition.replicas().size();
    }

    /** All records, and the ends; replicas that are not in sync after a minute are counted. */
    private void read(String topic) throws Exception {
        TopicDescription described;
        long asked = System.currentTimeMillis();
        do {
            described = cluster.admin.describeTopics(List.of(topic)).topicNameValues().get(topic).get();
        } while (!described.partitions().stream().allMatch(Adopt::isWhole) && System.currentTimeMillis() - asked < 60_000);
        for (var each : described.partitions()) {
            var partition = new TopicPartition(topic, each.partition());
            var wanted = Map.of(partition, OffsetSpec.earliest());
            long start = cluster.admin.listOffsets(wanted).partitionResult(partition).get().offset();
            long end = cluster.admin.listOffsets(Map.of(partition, OffsetSpec.latest())).partitionResult(partition).get().offset();
            System.out.println("{\"partition\":" + partition.partition() + ",\"topic\":\"" + topic + "\",\"start\":" + start + ",\"end\":" + end
                + ",\"behind\":" + (each.replicas().size() - each.isr().size())
                + ",\"records\":[" + String.join(",", cluster.read(partition, "read_committed")) + "]}");
        }
    }

    /** Where a member of a group goes on: its position once it has its partitions, or the first record that it gets. */
    private void goOn(String group, String topic) throws Exception {
        Map<String, Object> found = new TreeMap<>();
        try (var consumer = cluster.consumer("group.id", group)) {
            consumer.subscribe(List.of(topic));
            for (long asked = System.currentTimeMillis(); consumer.assignment().isEmpty() && System.currentTimeMillis() - asked < 30_000; ) {
                consumer.poll(Duration.ofMillis(50)).forEach(record ->
                    found.putIfAbsent(Integer.toString(record.partition()), record.offset()));
            }
            for (TopicPartition each : consumer.assignment()) {
                found.putIfAbsent(Integer.toString(each.partition()), consumer.position(each));
            }
            Json.of("group", group).and("topic", topic).and("first", found).print();
        }
    }

    /** Lines are a topic and how many records go to each of its partitions alone; then one of each of three transactions does. */
    private void append(List<String> lines) throws Exception {
        List<TopicPartition> all = new ArrayList<>();
        try (var producer = cluster.producer("acks", "all", "linger.ms", "0")) {
            for (String line : lines) {
                String[] words = line.split("\t", -1);
                for (TopicPartition partition : partitions(words[0])) {
                    all.add(partition);
                    for (int at = 0; at < Integer.parseInt(words[1]); at++) {
                        print(partition, "alone", send(producer, partition, "from Kafka " + at));
                    }
                }
            }
        }
        var producer = cluster.producer("acks", "all", "linger.ms", "0", "transactional.id", "adopters", "transaction.timeout.ms", "800000");
        producer.initTransactions();
        for (String fate : List.of("committed", "aborted", "open")) {
            producer.beginTransaction();
            for (TopicPartition partition : all) {
                print(partition, fate, send(producer, partition, fate));
            }
            switch (fate) {
                case "committed" -> producer.commitTransaction();
                case "aborted" -> producer.abortTransaction();
                default -> { }
            }
        }
        // With time to do so it would abort what is open.
        producer.close(Duration.ZERO);
    }

    private static Json send(KafkaProducer<byte[], byte[]> producer, TopicPartition partition, String text) throws Exception {
        byte[] bytes = text.getBytes(StandardCharsets.UTF_8);
        long time = 1_750_000_000_000L;
        var sent = producer.send(new ProducerRecord<>(partition.topic(), partition.partition(), time, bytes, bytes)).get();
        return Json.of("offset", sent.offset()).and("timestamp", time).and("key", bytes).and("value", bytes).and("headers", new Header[0]);
    }

    private static void print(TopicPartition partition, String fate, Json record) {
        Json.of("topic", partition.topic()).and("partition", partition.partition()).and("fate", fate).and("record", record).print();
    }
}
