package judge;

import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.admin.ListConsumerGroupOffsetsOptions;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.consumer.AcknowledgeType;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaShareConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.Producer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.IsolationLevel;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.ListOffsetsOptions;
import org.apache.kafka.common.config.ConfigResource;

/** Writes the topics of `tests/golden/kafka` through a broker and reads them back, in three acts, before each of which the broker starts. */
final class Golden {
    private static final long START = 1_700_000_000_000L;
    private static final String[] CODECS = {"none", "gzip", "snappy", "lz4", "zstd"};

    private final Cluster cluster;

    private Golden(Cluster cluster) {
        this.cluster = cluster;
    }

    static void main(String[] words) throws Exception {
        try (var cluster = new Cluster(words[1])) {
            var golden = new Golden(cluster);
            switch (words[0]) {
                case "first" -> golden.first();
                case "second" -> golden.second();
                case "third" -> golden.third(Path.of(words[2]));
                default -> throw new IllegalArgumentException(words[0]);
            }
        }
        // Producers with open transactions must not abort them on their way out.
        System.out.flush();
        Runtime.getRuntime().halt(0);
    }

    private void first() throws Exception {
        for (String codec : CODECS) {
            codec(codec);
        }
        cluster.create("epochs", 1, 1, "index.interval.bytes", "100");
        epochs(0);
        cluster.create("stamped", 1, 1, "message.timestamp.type", "LogAppendTime");
        plain("stamped", 0, 5);
        cluster.create("deleted", 1, 1, "internal.segment.bytes", "600");
        plain("deleted", 0, 40);
        cluster.admin.deleteRecords(Map.of(new TopicPartition("deleted", 0), RecordsToDelete.beforeOffset(17))).all().get();
        cluster.create("retained", 1, 1, "internal.segment.bytes", "600", "retention.bytes", "1500");
        plain("retained", 0, 60);
        compacted();
        transactions();
        compactedTransactions();
        groups();
        queue();
        Thread.sleep(8000);
    }

    private void second() throws Exception {
        epochs(100);
        fencing();
    }

    private void third(Path results) throws Exception {
        epochs(200);
        leftOpen();
        results(results);
    }

    /** Null and empty keys and values, headers that repeat, times that run backwards; batches of one record and of many. */
    private void codec(String codec) throws Exception {
        String topic = "codec-" + codec;
        cluster.create(topic, 1, 1, "index.interval.bytes", "100");
        String[] texts = {null, "", "text", "again and again and again and again and again and again"};
        try (var producer = cluster.producer("compression.type", codec, "enable.idempotence", "false")) {
            for (int batch = 0; batch < 12; batch++) {
                for (int at = 0; at <= batch * 2; at++) {
                    var record = record(topic, 0, START + batch * 1000 - at, texts[at % 4], texts[(at + batch) % 4]);
                    for (int header = 0; header < (at + batch) % 4; header++) {
                        record.headers().add(new RecordHeader(header == 2 ? "" : "name", bytes(texts[(header + at) % 4])));
                    }
                    producer.send(record);
                }
                producer.flush();
            }
        }
    }

    private void epochs(int from) throws Exception {
        plain("epochs", from, 5);
    }

    /** Batches of three records each, from an idempotent producer. */
    private void plain(String topic, int from, int batches) {
        try (var producer = cluster.producer()) {
            for (int batch = from; batch < from + batches; batch++) {
                for (int at = 0; at < 3; at++) {
                    producer.send(record(topic, 0, START + batch * 1000L + at, "k" + at, "value " + batch + " " + at));
                }
                producer.flush();
            }
        }
    }

    private void compacted() throws Exception {
        cluster.create("compacted", 1, 1, "cleanup.policy", "compact", "internal.segment.bytes", "1200",
            "min.cleanable.dirty.ratio", "0.01", "delete.retention.ms", "600000000");
        try (var producer = cluster.producer("enable.idempotence", "false", "compression.type", "lz4")) {
            for (int batch = 0; batch < 60; batch++) {
                for (int at = 0; at < 4; at++) {
                    String value = (batch + at) % 5 == 0 ? null : "value " + batch + " " + at;
                    producer.send(record("compacted", 0, START + batch * 1000L, "k" + (batch * 4 + at) % 11, value));
                }
                // The last of these keys is never written again.
                producer.send(record("compacted", 0, START + batch * 1000L, "once " + batch / 20, null));
                producer.flush();
            }
        }
    }

    private Producer<byte[], byte[]> transactional(String id) {
        var producer = cluster.producer("transactional.id", id, "transaction.timeout.ms", "900000");
        producer.initTransactions();
        return producer;
    }

    private void send(Producer<byte[], byte[]> producer, String topic, int partition, String... values) {
        for (String value : values) {
            producer.send(record(topic, partition, START, "k" + value.length(), value));
        }
        producer.flush();
    }

    /** Transactions that interleave, on two partitions, among records of none, ending either way. */
    private void transactions() throws Exception {
        cluster.create("tx", 2, 1, "internal.segment.bytes", "900", "index.interval.bytes", "100");
        cluster.create("tx-input", 1, 1);
        plain("tx-input", 0, 4);
        try (var one = transactional("one"); var two = transactional("two"); var none = cluster.producer()) {
            for (int round = 0; round < 6; round++) {
                one.beginTransaction();
                two.beginTransaction();
                send(one, "tx", 0, "one a " + round, "one b " + round);
                send(none, "tx", 0, "none " + round);
                send(two, "tx", 0, "two a " + round);
                send(two, "tx", 1, "two b " + round);
                send(one, "tx", 0, "one c " + round);
                commitOffset(one, "committer", "tx-input", round, "round " + round);
                if (round % 3 == 1) {
                    one.abortTransaction();
                } else {
                    one.commitTransaction();
                }
                send(two, "tx", 1, "two d " + round);
                send(none, "tx", 1, "none " + round);
                commitOffset(two, "undecided", "tx-input", round + 1, "");
                if (round % 2 == 1) {
                    two.commitTransaction();
                } else {
                    two.abortTransaction();
                }
            }
        }
    }

    private void commitOffset(Producer<byte[], byte[]> producer, String group, String topic, long offset, String metadata) throws Exception {
        try (var consumer = cluster.consumer("group.id", group)) {
            var offsets = Map.of(new TopicPartition(topic, 0), new OffsetAndMetadata(offset, metadata));
            producer.sendOffsetsToTransaction(offsets, consumer.groupMetadata());
        }
    }

    /** What Kafka's cleaner leaves of transactions: markers whose records are gone, aborted records, open ones. */
    private void compactedTransactions() throws Exception {
        for (String[] topic : new String[][] {{"tx-compacted", "600000000"}, {"tx-compacted-fast", "0"}}) {
            cluster.create(topic[0], 1, 1, "cleanup.policy", "compact", "internal.segment.bytes", "700",
                "min.cleanable.dirty.ratio", "0.01", "delete.retention.ms", topic[1]);
            try (var producer = transactional("for " + topic[0])) {
                for (int round = 0; round < 20; round++) {
                    producer.beginTransaction();
                    for (int at = 0; at < 3; at++) {
                        producer.send(record(topic[0], 0, START + round, "k" + (round + at) % 7, round % 6 == 5 ? null : "value " + round + " " + at));
                    }
                    producer.flush();
                    if (round % 3 == 0) {
                        producer.abortTransaction();
                    } else {
                        producer.commitTransaction();
                    }
                    if (round == 12) {
                        Thread.sleep(1500);
                    }
                }
            }
            Thread.sleep(1500);
            plain(topic[0], 50, 12);
        }
    }

    /** Plain commits of both protocols, an altered one, a deleted one. */
    private void groups() throws Exception {
        for (String protocol : new String[] {"classic", "consumer"}) {
            try (var consumer = cluster.consumer("group.id", "readers-" + protocol, "group.protocol", protocol)) {
                consumer.subscribe(List.of("tx-input", "epochs"));
                for (int seen = 0; seen < 10; ) {
                    seen += consumer.poll(Duration.ofMillis(500)).count();
                }
                consumer.commitSync();
            }
        }
        var input = new TopicPartition("tx-input", 0);
        cluster.admin.alterConsumerGroupOffsets("by-hand", Map.of(input, new OffsetAndMetadata(3, java.util.Optional.of(0), "moved by hand"))).all().get();
        cluster.admin.alterConsumerGroupOffsets("gone", Map.of(input, new OffsetAndMetadata(2))).all().get();
        cluster.admin.deleteConsumerGroups(List.of("gone")).all().get();
    }

    /** A share group that accepts, releases and rejects, and leaves some of what it took unanswered. */
    private void queue() throws Exception {
        cluster.create("queue", 1, 1);
        plain("queue", 0, 8);
        var group = new ConfigResource(ConfigResource.Type.GROUP, "workers");
        Collection<AlterConfigOp> earliest = List.of(new AlterConfigOp(new ConfigEntry("share.auto.offset.reset", "earliest"), AlterConfigOp.OpType.SET));
        cluster.admin.incrementalAlterConfigs(Map.of(group, earliest)).all().get();
        Map<String, Object> settings = Map.of("bootstrap.servers", cluster.servers, "group.id", "workers",
            "share.acknowledgement.mode", "explicit", "max.poll.records", "7");
        AcknowledgeType[] answers = {AcknowledgeType.ACCEPT, AcknowledgeType.ACCEPT, AcknowledgeType.RELEASE, AcknowledgeType.REJECT};
        try (var consumer = new KafkaShareConsumer<>(settings, new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
            consumer.subscribe(List.of("queue"));
            for (int seen = 0; seen < 20; ) {
                for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofMillis(500))) {
                    consumer.acknowledge(record, answers[seen++ % answers.length]);
                }
                consumer.commitSync();
            }
        }
    }

    /** A second owner of a transactional id, after a restart of the broker. */
    private void fencing() throws Exception {
        var older = transactional("fenced");
        older.beginTransaction();
        send(older, "tx", 0, "from the fenced one");
        try (var newer = transactional("fenced")) {
            newer.beginTransaction();
            send(newer, "tx", 0, "from the newer one");
            newer.commitTransaction();
        }
        older.close(Duration.ZERO);
    }

    private void leftOpen() throws Exception {
        var open = transactional("left open");
        open.beginTransaction();
        send(open, "tx", 0, "open a", "open b");
        commitOffset(open, "undecided", "tx-input", 9, "never decided");
        try (var none = cluster.producer()) {
            send(none, "tx", 0, "after the open one");
        }
        var aborted = transactional("aborted after");
        aborted.beginTransaction();
        send(aborted, "tx", 0, "aborted after the open one");
        aborted.abortTransaction();
        send(open, "tx", 0, "open c");

        // What follows an open transaction is not compacted; aborted records before it are, once they are not in the last segment.
        aborted.beginTransaction();
        send(aborted, "tx-compacted", 0, "aborted before the open one");
        aborted.abortTransaction();
        aborted.beginTransaction();
        send(aborted, "tx-compacted-fast", 0, "aborted in the last segment");
        aborted.abortTransaction();
        send(open, "tx-compacted", 0, "open a", "open b");
        plain("tx-compacted", 100, 12);
        send(open, "tx-compacted", 0, "open c");
        aborted.beginTransaction();
        send(aborted, "tx-compacted", 0, "aborted after the open one");
        aborted.abortTransaction();
        Thread.sleep(3000);
    }

    private void results(Path dir) throws Exception {
        Files.createDirectories(dir);
        List<String> ends = new ArrayList<>();
        for (TopicPartition partition : partitions()) {
            var uncommitted = cluster.read(partition, "read_uncommitted");
            var committed = cluster.read(partition, "read_committed");
            Files.write(dir.resolve(partition + ".uncommitted.jsonl"), uncommitted);
            if (!committed.equals(uncommitted)) {
                Files.write(dir.resolve(partition + ".committed.jsonl"), committed);
            }
            ends.add(ends(partition).toString());
        }
        Files.write(dir.resolve("partitions.jsonl"), ends);
        Files.write(dir.resolve("groups.jsonl"), groupOffsets());
        List<String> found = new ArrayList<>();
        var ids = cluster.admin.listTransactions().all().get().stream().map(each -> each.transactionalId()).sorted().toList();
        var described = new TreeMap<>(cluster.admin.describeTransactions(ids).all().get());
        described.forEach((id, each) -> found.add(Json.of("id", id).and("producer", each.producerId()).and("epoch", each.producerEpoch())
            .and("state", each.state().toString()).and("timeout", each.transactionTimeoutMs())
            .and("partitions", each.topicPartitions().stream().map(TopicPartition::toString).sorted().toList()).toString()));
        Files.write(dir.resolve("transactions.jsonl"), found);
    }

    private List<TopicPartition> partitions() throws Exception {
        var names = cluster.admin.listTopics(new org.apache.kafka.clients.admin.ListTopicsOptions().listInternal(true)).names().get();
        List<TopicPartition> partitions = new ArrayList<>();
        cluster.admin.describeTopics(names).allTopicNames().get().forEach((name, topic) ->
            topic.partitions().forEach(each -> partitions.add(new TopicPartition(name, each.partition()))));
        partitions.sort((left, right) -> left.toString().compareTo(right.toString()));
        return partitions;
    }

    private long offset(TopicPartition partition, OffsetSpec at, IsolationLevel isolation) throws Exception {
        var options = new ListOffsetsOptions(isolation);
        return cluster.admin.listOffsets(Map.of(partition, at), options).partitionResult(partition).get(30, TimeUnit.SECONDS).offset();
    }

    private Json ends(TopicPartition partition) throws Exception {
        Map<String, Object> times = new TreeMap<>();
        for (long second : new long[] {-1, 0, 1, 5, 11, 25, 39, 59, 104, 1000}) {
            long time = START + second * 1000;
            times.put(Long.toString(time), offset(partition, OffsetSpec.forTimestamp(time), IsolationLevel.READ_UNCOMMITTED));
        }
        List<Json> producers = new ArrayList<>();
        var active = cluster.admin.describeProducers(List.of(partition)).partitionResult(partition).get().activeProducers();
        active.stream().sorted((left, right) -> Long.compare(left.producerId(), right.producerId())).forEach(each ->
            producers.add(Json.of("id", each.producerId()).and("epoch", each.producerEpoch()).and("sequence", each.lastSequence())
                .and("coordinator", each.coordinatorEpoch().orElse(-1)).and("open", each.currentTransactionStartOffset().orElse(-1))
                .and("timestamp", each.lastTimestamp())));
        return Json.of("partition", partition.toString())
            .and("start", offset(partition, OffsetSpec.earliest(), IsolationLevel.READ_UNCOMMITTED))
            .and("stable", offset(partition, OffsetSpec.latest(), IsolationLevel.READ_COMMITTED))
            .and("end", offset(partition, OffsetSpec.latest(), IsolationLevel.READ_UNCOMMITTED))
            .and("max_timestamp_at", offset(partition, OffsetSpec.maxTimestamp(), IsolationLevel.READ_UNCOMMITTED))
            .and("times", times)
            .and("producers", producers);
    }

    private List<String> groupOffsets() throws Exception {
        List<String> lines = new ArrayList<>();
        for (String group : List.of("by-hand", "committer", "gone", "readers-classic", "readers-consumer", "undecided")) {
            var found = cluster.admin.listConsumerGroupOffsets(group, new ListConsumerGroupOffsetsOptions()).partitionsToOffsetAndMetadata().get();
            found.entrySet().stream().sorted((left, right) -> left.getKey().toString().compareTo(right.getKey().toString())).forEach(each ->
                lines.add(Json.of("group", group).and("partition", each.getKey().toString()).and("offset", each.getValue().offset())
                    .and("epoch", each.getValue().leaderEpoch().orElse(-1)).and("metadata", each.getValue().metadata()).toString()));
        }
        return lines;
    }

    private static ProducerRecord<byte[], byte[]> record(String topic, int partition, long time, String key, String value) {
        return new ProducerRecord<>(topic, partition, time, bytes(key), bytes(value));
    }

    private static byte[] bytes(String text) {
        return text == null ? null : text.getBytes(StandardCharsets.UTF_8);
    }
}
