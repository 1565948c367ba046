package judge;

import java.io.File;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.apache.kafka.common.record.internal.FileRecords;
import org.apache.kafka.common.record.internal.Record;
import org.apache.kafka.coordinator.share.PersisterStateBatchCombiner;
import org.apache.kafka.coordinator.share.ShareCoordinatorRecordSerde;
import org.apache.kafka.coordinator.share.ShareGroupOffset;
import org.apache.kafka.coordinator.share.generated.ShareSnapshotKey;
import org.apache.kafka.coordinator.share.generated.ShareSnapshotValue;
import org.apache.kafka.coordinator.share.generated.ShareUpdateKey;
import org.apache.kafka.coordinator.share.generated.ShareUpdateValue;
import org.apache.kafka.server.share.persister.PersisterStateBatch;

/**
 * What Kafka's share coordinator reads in the directory of `__share_group_state-0`: each state as its snapshot and the updates behind
 * it add up, and how many records its own serializer writes with other bytes.
 */
final class Queues {
    private static final class State {
        int epoch;
        long start;
        List<PersisterStateBatch> batches = new ArrayList<>();
    }

    static void main(String[] words) throws Exception {
        var serde = new ShareCoordinatorRecordSerde();
        Map<String, State> states = new TreeMap<>();
        long records = 0;
        long different = 0;
        File[] files = new File(words[0]).listFiles((dir, name) -> name.endsWith(".log"));
        Arrays.sort(files);
        for (File file : files) {
            try (var log = FileRecords.open(file)) {
                for (var batch : log.batches()) {
                    if (batch.isControlBatch()) {
                        continue;
                    }
                    for (Record record : batch) {
                        records++;
                        var decoded = serde.deserialize(record.key(), record.value());
                        byte[] key = serde.serializeKey(decoded);
                        byte[] value = serde.serializeValue(decoded);
                        if (!record.key().equals(ByteBuffer.wrap(key))
                            || (record.hasValue() ? value == null || !record.value().equals(ByteBuffer.wrap(value)) : value != null)) {
                            different++;
                        }
                        apply(states, decoded);
                    }
                }
            }
        }
        List<Json> answers = new ArrayList<>();
        for (var each : states.entrySet()) {
            String[] names = each.getKey().split("\t");
            List<Json> batches = new ArrayList<>();
            for (PersisterStateBatch batch : each.getValue().batches) {
                batches.add(Json.of("first", batch.firstOffset()).and("last", batch.lastOffset())
                    .and("state", batch.deliveryState()).and("count", batch.deliveryCount()));
            }
            answers.add(Json.of("group", names[0]).and("topic", names[1]).and("partition", Integer.parseInt(names[2]))
                .and("start", each.getValue().start).and("batches", batches));
        }
        Json.of("records", records).and("different", different).and("states", answers).print();
    }

    private static void apply(Map<String, State> states, org.apache.kafka.coordinator.common.runtime.CoordinatorRecord record) {
        if (record.key() instanceof ShareSnapshotKey key) {
            String name = key.groupId() + "\t" + key.topicId() + "\t" + key.partition();
            if (record.value() == null) {
                states.remove(name);
                return;
            }
            var offset = ShareGroupOffset.fromRecord((ShareSnapshotValue) record.value().message());
            var state = new State();
            state.epoch = offset.snapshotEpoch();
            state.start = offset.startOffset();
            state.batches = new ArrayList<>(offset.stateBatches());
            states.put(name, state);
        } else if (record.key() instanceof ShareUpdateKey key) {
            State state = states.get(key.groupId() + "\t" + key.topicId() + "\t" + key.partition());
            var offset = ShareGroupOffset.fromRecord((ShareUpdateValue) record.value().message());
            if (state == null || offset.snapshotEpoch() != state.epoch) {
                throw new IllegalStateException("an update of no snapshot: " + record);
            }
            if (offset.startOffset() >= 0) {
                state.start = offset.startOffset();
            }
            state.batches = new PersisterStateBatchCombiner(state.batches, offset.stateBatches(), state.start).combineStateBatches();
        }
    }
}
