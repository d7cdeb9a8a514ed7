// The official Java SDK's processor in the place of js_bench.mjs drain: the same lines.
//   java Bench CONTAINER PARTITIONS EVENTS WARM BATCH CHECKPOINT      BATCH 0: single events, which is how it is used

import com.azure.messaging.eventhubs.EventProcessorClientBuilder;
import com.azure.messaging.eventhubs.LoadBalancingStrategy;
import com.azure.messaging.eventhubs.checkpointstore.blob.BlobCheckpointStore;
import com.azure.messaging.eventhubs.models.EventPosition;
import com.azure.storage.blob.BlobContainerAsyncClient;
import com.azure.storage.blob.BlobContainerClientBuilder;
import java.lang.management.ManagementFactory;
import java.time.Duration;
import java.util.HashMap;
import java.util.Locale;
import java.util.Map;

public final class Bench {
    private static final Map<String, Integer> SINCE = new HashMap<>();
    private static int total;
    private static int warm;
    private static int every;
    private static int handled;
    private static int checkpoints;
    private static Instant begin;
    private static Instant end;

    private static final class Instant {
        final double wall = System.nanoTime() / 1e9;
        final double cpu = ((com.sun.management.OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean())
            .getProcessCpuTime() / 1e9;
    }

    private static void tell(String name, double value) {
        System.out.printf(Locale.ROOT, "%s\t%.6f\t%n", name, value);
        System.out.flush();
    }

    /** Whether a checkpoint is due. */
    private static synchronized boolean take(String partition, int count) {
        int before = handled;
        handled += count;
        if (count == 0 || end != null) {
            return false;
        }
        if (before == 0) {
            tell("first", 1);
        }
        if (before <= warm && handled > warm) {
            begin = new Instant();
        }
        if (handled >= total) {
            end = new Instant();
            Bench.class.notifyAll();
        }
        int since = SINCE.merge(partition, count, Integer::sum);
        if (since < every) {
            return false;
        }
        SINCE.put(partition, 0);
        checkpoints++;
        return true;
    }

    private static synchronized void finish() throws InterruptedException {
        while (end == null) {
            Bench.class.wait();
        }
        tell("events", total - warm);
        tell("warm", warm);
        tell("seconds", end.wall - begin.wall);
        tell("cpu", end.cpu - begin.cpu);
        tell("checkpoints", checkpoints);
        Runtime.getRuntime().halt(0);
    }

    public static void main(String[] args) throws InterruptedException {
        total = Integer.parseInt(args[2]);
        warm = Integer.parseInt(args[3]);
        int batch = Integer.parseInt(args[4]);
        every = Integer.parseInt(args[5]);
        BlobContainerAsyncClient container = new BlobContainerClientBuilder()
            .connectionString(System.getenv("AZURE_STORAGE_CONNECTION_STRING")).containerName(args[0]).buildAsyncClient();
        container.create().block();
        EventProcessorClientBuilder builder = new EventProcessorClientBuilder()
            .connectionString(System.getenv("EVENTHUB_CONNECTION_STRING"), "hub").consumerGroup("$Default")
            .checkpointStore(new BlobCheckpointStore(container)).loadBalancingStrategy(LoadBalancingStrategy.GREEDY)
            .loadBalancingUpdateInterval(Duration.ofSeconds(1)).partitionOwnershipExpirationInterval(Duration.ofSeconds(60))
            .initialPartitionEventPosition(partition -> EventPosition.earliest())
            .processError(context -> System.err.println(context.getPartitionContext().getPartitionId() + " " + context.getThrowable()));
        if (batch > 0) {
            builder.processEventBatch(context -> {
                if (take(context.getPartitionContext().getPartitionId(), context.getEvents().size())) {
                    context.updateCheckpoint();
                }
            }, batch);
        } else {
            builder.processEvent(context -> {
                if (take(context.getPartitionContext().getPartitionId(), 1)) {
                    context.updateCheckpoint();
                }
            });
        }
        builder.buildEventProcessorClient().start();
        finish();
    }
}
