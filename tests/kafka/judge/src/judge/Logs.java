package judge;

import java.io.BufferedReader;
import java.io.ByteArrayOutputStream;
import java.io.File;
import java.io.InputStreamReader;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import java.util.TreeSet;
import org.apache.kafka.common.record.internal.FileRecords;
import org.apache.kafka.common.record.internal.Record;
import org.apache.kafka.common.record.internal.RecordBatch;
import org.apache.kafka.common.utils.Time;
import org.apache.kafka.coordinator.group.GroupCoordinatorRecordSerde;
import org.apache.kafka.coordinator.group.generated.OffsetCommitKey;
import org.apache.kafka.coordinator.group.generated.OffsetCommitValue;
import org.apache.kafka.server.storage.log.FetchIsolation;
import org.apache.kafka.storage.internals.log.Cleaner;
import org.apache.kafka.storage.internals.log.LogConfig;
import org.apache.kafka.storage.internals.log.LogDirFailureChannel;
import org.apache.kafka.storage.internals.log.LogSegment;
import org.apache.kafka.storage.internals.log.LogToClean;
import org.apache.kafka.storage.internals.log.ProducerStateManagerConfig;
import org.apache.kafka.storage.internals.log.SkimpyOffsetMap;
import org.apache.kafka.storage.internals.log.UnifiedLog;
import org.apache.kafka.storage.internals.utils.Throttler;
import org.apache.kafka.storage.log.metrics.BrokerTopicStats;
import org.apache.kafka.tools.DumpLogSegments;

/**
 * What Kafka's own log says of partition directories. Each line of the input is
 * `directory TAB what TAB start TAB index interval TAB times`, the times separated by commas; each line of the answer is about
 * one of them. `what` is `clean` (as after an orderly stop: the files are taken as they are), `unclean` (all is rebuilt), or
 * `compact` (unclean, then Kafka's cleaner). The directory is written to.
 */
final class Logs {
    private static final BrokerTopicStats STATS = new BrokerTopicStats();

    static void main() throws Exception {
        var logs = new Logs();
        var lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            String[] words = line.split("\t", -1);
            Json answer;
            try {
                List<Long> times = Arrays.stream(words[4].split(",")).filter(each -> !each.isEmpty()).map(Long::valueOf).toList();
                answer = logs.judge(new File(words[0]), words[1], Long.parseLong(words[2]), words[3], times);
            } catch (Exception | LinkageError | AssertionError error) {
                var text = new ByteArrayOutputStream();
                error.printStackTrace(new PrintStream(text));
                answer = Json.of("failed", text.toString());
            }
            answer.print();
            System.out.flush();
        }
    }

    private Json judge(File dir, String what, long start, String interval, List<Long> times) throws Exception {
        var dumped = new Dump(dir);
        Map<String, ByteBuffer> before = files(dir);
        var log = load(dir, what.equals("clean"), start, interval);
        try {
            log.updateHighWatermark(log.logEndOffset());
            if (what.equals("compact")) {
                compact(log);
            }
            var answer = Json.of("dump", dumped.findings)
                .and("start", log.logStartOffset())
                .and("end", log.logEndOffset())
                .and("stable", log.lastStableOffset())
                .and("segments", log.logSegments().stream().map(LogSegment::baseOffset).toList())
                .and("records", records(log))
                .and("times", times(log, times))
                .and("seeks", seeks(log));
            if (dir.getName().startsWith("__consumer_offsets-")) {
                answer.and("commits", commits(log));
            }
            log.prepareActiveSegmentForClose();
            log.close();
            return answer.and("changed", changed(before, files(dir)));
        } finally {
            log.closeQuietly();
        }
    }

    private UnifiedLog load(File dir, boolean clean, long start, String interval) throws IOException {
        Map<String, String> settings = new HashMap<>();
        settings.put("cleanup.policy", "compact,delete");
        settings.put("index.interval.bytes", interval);
        settings.put("retention.ms", "-1");
        // The indexes of the last segment are mapped at this size while it is open.
        settings.put("segment.index.bytes", "65536");
        settings.put("delete.retention.ms", Long.toString(Long.MAX_VALUE / 4));
        var topic = UnifiedLog.parseTopicPartitionName(dir);
        var channel = new LogDirFailureChannel(1);
        return UnifiedLog.create(dir, new LogConfig(settings), start, clean ? Long.MAX_VALUE : 0, new AtOnce(), STATS, Time.SYSTEM,
            900_000, new ProducerStateManagerConfig(86_400_000, false), 600_000, channel, clean, Optional.empty());
    }

    private static void compact(UnifiedLog log) throws Exception {
        // Kafka never cleans the segment that is written to: it is to be an empty one.
        long active = log.roll().baseOffset();
        var throttler = new Throttler(Double.MAX_VALUE, 300, "none", "none", Time.SYSTEM);
        var cleaner = new Cleaner(0, new SkimpyOffsetMap(1 << 22), 1 << 20, 1 << 22, 0.9, throttler, Time.SYSTEM, each -> { });
        cleaner.doClean(new LogToClean(log, log.logStartOffset(), active, false), System.currentTimeMillis());
    }

    /** Every batch and record of all segments, control records too. */
    private static List<Json> records(UnifiedLog log) {
        List<Json> found = new ArrayList<>();
        for (LogSegment segment : log.logSegments()) {
            for (RecordBatch batch : segment.log().batches()) {
                batch.ensureValid();
                List<Json> records = new ArrayList<>();
                for (Record record : batch) {
                    record.ensureValid();
                    records.add(Json.of("offset", record.offset()).and("timestamp", record.timestamp()).and("key", record.key())
                        .and("value", record.value()).and("headers", record.headers()));
                }
                found.add(Json.of("base", batch.baseOffset()).and("last", batch.lastOffset()).and("epoch", batch.partitionLeaderEpoch())
                    .and("codec", batch.compressionType().name).and("type", batch.timestampType().name)
                    .and("max", batch.maxTimestamp()).and("producer", batch.producerId()).and("control", batch.isControlBatch())
                    .and("horizon", batch.deleteHorizonMs().orElse(-1)).and("records", records));
            }
        }
        return found;
    }

    /** The last commit of each group for each partition, as Kafka's group coordinator decodes them; null for a tombstone. */
    private static List<Json> commits(UnifiedLog log) {
        var serde = new GroupCoordinatorRecordSerde();
        Map<String, Json> last = new TreeMap<>();
        for (LogSegment segment : log.logSegments()) {
            for (Record record : segment.log().records()) {
                var decoded = serde.deserialize(record.key(), record.value());
                if (decoded.key() instanceof OffsetCommitKey key) {
                    var json = Json.of("group", key.group()).and("topic", key.topic()).and("partition", key.partition());
                    last.put(json.toString(), json);
                    if (decoded.value() != null && decoded.value().message() instanceof OffsetCommitValue value) {
                        json.and("offset", value.offset()).and("epoch", value.leaderEpoch()).and("metadata", value.metadata())
                            .and("time", value.commitTimestamp());
                    }
                }
            }
        }
        return List.copyOf(last.values());
    }

    private static Json times(UnifiedLog log, List<Long> times) {
        Json answers = null;
        for (long time : times) {
            var found = log.fetchOffsetByTimestamp(time, Optional.empty()).timestampAndOffsetOpt();
            String answer = found.map(each -> each.offset + " " + each.timestamp).orElse("none");
            answers = answers == null ? Json.of(Long.toString(time), answer) : answers.and(Long.toString(time), answer);
        }
        return answers;
    }

    /** For offsets all over the log, the base offset of the batch that a fetch from there begins with. */
    private static List<List<Long>> seeks(UnifiedLog log) throws IOException {
        List<List<Long>> found = new ArrayList<>();
        long step = Math.max(1, (log.logEndOffset() - log.logStartOffset()) / 20);
        for (long offset = log.logStartOffset(); offset < log.logEndOffset(); offset += step) {
            var fetched = log.read(offset, 1, FetchIsolation.LOG_END, true);
            var batches = fetched.records.batches().iterator();
            found.add(List.of(offset, batches.hasNext() ? batches.next().baseOffset() : -1));
        }
        return found;
    }

    private static Map<String, ByteBuffer> files(File dir) throws IOException {
        Map<String, ByteBuffer> files = new TreeMap<>();
        for (File file : dir.listFiles()) {
            files.put(file.getName(), ByteBuffer.wrap(Files.readAllBytes(file.toPath())));
        }
        return files;
    }

    private static List<String> changed(Map<String, ByteBuffer> before, Map<String, ByteBuffer> after) {
        var names = new TreeSet<>(before.keySet());
        names.addAll(after.keySet());
        return names.stream().filter(name -> !after.getOrDefault(name, ByteBuffer.allocate(0)).equals(before.get(name))).toList();
    }

    /** What `kafka-dump-log` finds wrong, by what it prints that is not the content. */
    private static final class Dump {
        private static final String[] CONTENT = {"Dumping ", "Log starting offset", "baseOffset:", "| offset:", "offset:", "timestamp:",
            "producerId:", "version:"};
        final List<String> findings;

        Dump(File dir) throws IOException {
            List<String> files = new ArrayList<>();
            for (File file : dir.listFiles()) {
                if (file.getName().matches("\\d{20}\\.(log|index|timeindex|txnindex|snapshot)")) {
                    files.add(file.getPath());
                }
            }
            files.sort(null);
            PrintStream out = System.out;
            PrintStream errors = System.err;
            var text = new ByteArrayOutputStream();
            System.setOut(new PrintStream(text, true, StandardCharsets.UTF_8));
            System.setErr(System.out);
            try {
                DumpLogSegments.main(new String[] {"--deep-iteration", "--files", String.join(",", files)});
            } finally {
                System.setOut(out);
                System.setErr(errors);
            }
            findings = text.toString(StandardCharsets.UTF_8).lines()
                .filter(line -> Arrays.stream(CONTENT).noneMatch(line::startsWith) && !line.endsWith(" is empty."))
                .toList();
        }
    }
}
