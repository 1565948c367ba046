package judge;

import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Delayed;
import java.util.concurrent.ScheduledFuture;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.server.util.Scheduler;

/** What is put off is done at once, what comes again never: nothing is written after the answer. */
final class AtOnce implements Scheduler {
    private static final class Done extends CompletableFuture<Void> implements ScheduledFuture<Void> {
        private Done() {
            complete(null);
        }

        @Override
        public long getDelay(TimeUnit unit) {
            return 0;
        }

        @Override
        public int compareTo(Delayed other) {
            return 0;
        }
    }

    @Override
    public void startup() { }

    @Override
    public void shutdown() { }

    @Override
    public void resizeThreadPool(int size) { }

    @Override
    public ScheduledFuture<?> schedule(String name, Runnable task, long delay, long period) {
        if (period < 0) {
            task.run();
        }
        return new Done();
    }
}
