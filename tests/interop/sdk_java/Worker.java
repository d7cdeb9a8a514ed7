// A worker of the official Java SDK; the same lines as js_worker.mjs.
//   java Worker HUB CONTAINER OUTPUT STRATEGY INTERVAL_MS EXPIRY_MS JOURNAL

import com.azure.messaging.eventhubs.EventData;
import com.azure.messaging.eventhubs.EventProcessorClient;
import com.azure.messaging.eventhubs.EventProcessorClientBuilder;
import com.azure.messaging.eventhubs.LoadBalancingStrategy;
import com.azure.messaging.eventhubs.checkpointstore.blob.BlobCheckpointStore;
import com.azure.messaging.eventhubs.models.EventBatchContext;
import com.azure.messaging.eventhubs.models.EventPosition;
import com.azure.storage.blob.BlobContainerAsyncClient;
import com.azure.storage.blob.BlobContainerClientBuilder;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.time.Duration;
import java.util.List;
import java.util.Locale;

public final class Worker {
    private static Path output;
    private static Path journal;

    private static synchronized void append(Path file, String text) {
        try {
            Files.writeString(file, text, StandardOpenOption.CREATE, StandardOpenOption.APPEND);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private static String quoted(String text) {
        return '"' + text.replace("\\", "\\\\").replace("\"", "\\\"") + '"';
    }

    private static void tell(String what, String partition) {
        append(journal, String.format(Locale.ROOT, "{\"t\":%.3f,\"ev\":\"%s\",\"partition\":\"%s\"}%n",
            System.currentTimeMillis() / 1e3, what, partition));
    }

    private static void handle(EventBatchContext batch) {
        List<EventData> events = batch.getEvents();
        StringBuilder lines = new StringBuilder();
        for (EventData event : events) {
            lines.append(String.format("{\"partition\":\"%s\",\"sequence\":%d,\"body\":%s}%n",
                batch.getPartitionContext().getPartitionId(), event.getSequenceNumber(), quoted(event.getBodyAsString())));
        }
        append(output, lines.toString());
        if (!events.isEmpty()) {
            batch.updateCheckpoint();
        }
    }

    public static void main(String[] args) {
        output = Path.of(args[2]);
        journal = Path.of(args[6]);
        BlobContainerAsyncClient container = new BlobContainerClientBuilder()
            .connectionString(System.getenv("AZURE_STORAGE_CONNECTION_STRING")).containerName(args[1]).buildAsyncClient();
        container.createIfNotExists().block();
        EventProcessorClient client = new EventProcessorClientBuilder()
            .connectionString(System.getenv("EVENTHUB_CONNECTION_STRING"), args[0]).consumerGroup("$Default")
            .checkpointStore(new BlobCheckpointStore(container))
            .loadBalancingStrategy(LoadBalancingStrategy.valueOf(args[3].toUpperCase(Locale.ROOT)))
            .loadBalancingUpdateInterval(Duration.ofMillis(Long.parseLong(args[4])))
            .partitionOwnershipExpirationInterval(Duration.ofMillis(Long.parseLong(args[5])))
            .initialPartitionEventPosition(partition -> EventPosition.earliest())
            .processPartitionInitialization(context -> tell("open", context.getPartitionContext().getPartitionId()))
            .processPartitionClose(context -> tell("close", context.getPartitionContext().getPartitionId()))
            .processError(context -> System.err.println(context.getPartitionContext().getPartitionId() + " " + context.getThrowable()))
            .processEventBatch(Worker::handle, 100, Duration.ofSeconds(1))
            .buildEventProcessorClient();
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            client.stop();
            Runtime.getRuntime().halt(0);
        }));
        client.start();
    }
}
