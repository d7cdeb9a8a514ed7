// The official Java SDK against tidemark-hub; run_sdk.py starts it and says where the hubs are. TAP.

import com.azure.core.amqp.AmqpRetryOptions;
import com.azure.core.amqp.AmqpTransportType;
import com.azure.messaging.eventhubs.EventData;
import com.azure.messaging.eventhubs.EventDataBatch;
import com.azure.messaging.eventhubs.EventHubClientBuilder;
import com.azure.messaging.eventhubs.EventHubConsumerAsyncClient;
import com.azure.messaging.eventhubs.EventHubProducerClient;
import com.azure.messaging.eventhubs.models.CreateBatchOptions;
import com.azure.messaging.eventhubs.models.EventPosition;
import com.azure.messaging.eventhubs.models.PartitionEvent;
import com.azure.messaging.eventhubs.models.ReceiveOptions;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.Supplier;
import java.util.stream.Collectors;
import reactor.core.Disposable;
import reactor.core.publisher.Flux;

public final class HubTest {
    private static final String PLAIN = System.getenv("SDK_PLAIN");
    private static final List<String> IDS = List.of("0", "1", "2", "3");
    private static final Duration LONG = Duration.ofSeconds(60);

    private interface Test {
        void run() throws Exception;
    }

    private static void expect(boolean good, Object told) {
        if (!good) {
            throw new AssertionError(String.valueOf(told));
        }
    }

    private static String fault(String json) throws Exception {
        HttpRequest request = HttpRequest.newBuilder(URI.create("http://" + System.getenv("SDK_CONTROL") + "/faults"))
            .POST(HttpRequest.BodyPublishers.ofString(json)).build();
        HttpResponse<String> answer = HttpClient.newHttpClient().send(request, HttpResponse.BodyHandlers.ofString());
        expect(answer.statusCode() == 200, answer.body());
        return answer.body();
    }

    // ---- clients ----

    private static EventHubClientBuilder builder() {
        return new EventHubClientBuilder().retryOptions(new AmqpRetryOptions().setMaxRetries(8)
            .setDelay(Duration.ofMillis(50)).setTryTimeout(Duration.ofSeconds(20)));
    }

    private static EventHubClientBuilder plain() {
        return builder().connectionString(PLAIN, "hub");
    }

    private static long last(Supplier<EventHubClientBuilder> way, String partition) {
        try (EventHubProducerClient p = way.get().buildProducerClient()) {
            return p.getPartitionProperties(partition).getLastEnqueuedSequenceNumber();
        }
    }

    private static long last(String partition) {
        return last(HubTest::plain, partition);
    }

    private static void send(Supplier<EventHubClientBuilder> way, CreateBatchOptions options, List<EventData> events) {
        try (EventHubProducerClient p = way.get().buildProducerClient()) {
            EventDataBatch batch = p.createBatch(options);
            for (EventData e : events) {
                expect(batch.tryAdd(e), "the batch is full");
            }
            p.send(batch);
        }
    }

    private static void send(String partition, String... bodies) {
        send(HubTest::plain, to(partition), texts(bodies));
    }

    private static CreateBatchOptions to(String partition) {
        return new CreateBatchOptions().setPartitionId(partition);
    }

    private static List<EventData> texts(String... bodies) {
        return Arrays.stream(bodies).map(EventData::new).collect(Collectors.toList());
    }

    private static List<EventData> read(Supplier<EventHubClientBuilder> way, String partition, int count, EventPosition from) {
        try (EventHubConsumerAsyncClient c = way.get().consumerGroup("$Default").buildAsyncConsumerClient()) {
            return c.receiveFromPartition(partition, from).take(count).map(PartitionEvent::getData).collectList().block(LONG);
        }
    }

    private static List<EventData> read(String partition, int count, EventPosition from) {
        return read(HubTest::plain, partition, count, from);
    }

    private static String bodies(List<EventData> events) {
        return events.stream().map(EventData::getBodyAsString).collect(Collectors.joining(","));
    }

    private static void roundTrip(Supplier<EventHubClientBuilder> way) {
        String large = "x".repeat(300000);
        long before = last(way, "3");
        send(way, to("3"), texts("one", "two", large));
        String got = bodies(read(way, "3", 3, EventPosition.fromSequenceNumber(before)));
        expect(got.equals("one,two," + large), "other bodies came back");
    }

    // ---- the tests ----

    private static void propertiesAreTold() {
        try (EventHubProducerClient p = plain().buildProducerClient()) {
            expect(p.getEventHubProperties().getName().equals("hub"), p.getEventHubProperties().getName());
            expect(p.getPartitionIds().stream().collect(Collectors.toList()).equals(IDS), "other partitions");
            expect(p.getPartitionProperties("2").isEmpty(), "partition 2 is not empty");
            expect(p.getPartitionProperties("2").getLastEnqueuedSequenceNumber() == -1, "it has a last event");
        }
    }

    private static void batchesGoByIdAndByKey() {
        Map<String, Long> before = new TreeMap<>();
        IDS.forEach(id -> before.put(id, last(id)));
        send(HubTest::plain, new CreateBatchOptions().setPartitionKey("device-0001"), texts("a", "b", "c"));
        List<String> grown = IDS.stream().filter(id -> last(id) != before.get(id)).collect(Collectors.toList());
        expect(grown.size() == 1, grown);
        List<EventData> got = read(grown.get(0), 3, EventPosition.fromSequenceNumber(before.get(grown.get(0))));
        expect(bodies(got).equals("a,b,c") && got.get(0).getPartitionKey().equals("device-0001"), bodies(got));
        long first = last("1");
        send("1", "single");
        expect(bodies(read("1", 1, EventPosition.fromSequenceNumber(first))).equals("single"), "it went elsewhere");
    }

    private static void anEventKeepsItsProperties() {
        EventData event = new EventData(new byte[] {0, (byte) 255});
        Map<String, Object> properties = Map.of("text", "\u00fc", "number", 7L, "part", 1.5, "yes", true);
        event.getProperties().putAll(properties);
        event.setContentType("application/x-thing").setCorrelationId("c-1").setMessageId("m-1");
        long before = last("2");
        send(HubTest::plain, to("2"), List.of(event));
        EventData got = read("2", 1, EventPosition.fromSequenceNumber(before)).get(0);
        expect(Arrays.equals(got.getBody(), event.getBody()), Arrays.toString(got.getBody()));
        expect(got.getProperties().equals(properties), got.getProperties());
        expect(got.getContentType().equals("application/x-thing") && got.getCorrelationId().equals("c-1")
            && got.getMessageId().equals("m-1"), "other standard properties");
        expect(got.getSequenceNumber() == before + 1, got.getSequenceNumber());
    }

    private static void everyStartPositionIsMet() throws Exception {
        long base = last("1") + 1;
        send("1", "0", "1", "2", "3", "4");
        Thread.sleep(20); // the clock must tick between the two
        send("1", "5", "6", "7", "8", "9");
        List<EventData> all = read("1", (int) base + 10, EventPosition.earliest()).subList((int) base, (int) base + 10);
        expect(bodies(all).equals("0,1,2,3,4,5,6,7,8,9"), bodies(all));
        Map<String, EventPosition> starts = Map.of(
            "7", EventPosition.fromSequenceNumber(base + 6),
            "6", EventPosition.fromSequenceNumber(base + 6, true),
            "4", EventPosition.fromOffsetString(all.get(3).getOffsetString()),
            "5", EventPosition.fromEnqueuedTime(all.get(4).getEnqueuedTime().plusMillis(1)));
        for (Map.Entry<String, EventPosition> start : starts.entrySet()) {
            String got = bodies(read("1", 1, start.getValue()));
            expect(got.equals(start.getKey()), got + " instead of " + start.getKey());
        }
        List<String> next = Collections.synchronizedList(new ArrayList<>());
        CountDownLatch come = new CountDownLatch(1);
        try (EventHubConsumerAsyncClient c = plain().consumerGroup("$Default").buildAsyncConsumerClient()) {
            Disposable reading = c.receiveFromPartition("1", EventPosition.latest()).subscribe(e -> {
                next.add(e.getData().getBodyAsString());
                come.countDown();
            });
            for (int i = 0; i < 100 && come.getCount() > 0; i++) { // what came before the link stood is not for it
                send("1", "next");
                come.await(500, TimeUnit.MILLISECONDS);
            }
            reading.dispose();
        }
        expect(!next.isEmpty() && next.stream().allMatch("next"::equals), next);
    }

    private static void aHigherOwnerLevelTakesAPartitionOver() throws Exception {
        send("0", "x");
        CountDownLatch reading = new CountDownLatch(1), told = new CountDownLatch(1);
        AtomicReference<Throwable> why = new AtomicReference<>();
        try (EventHubConsumerAsyncClient low = plain().consumerGroup("$Default").buildAsyncConsumerClient();
            EventHubConsumerAsyncClient high = plain().consumerGroup("$Default").buildAsyncConsumerClient()) {
            Disposable first = low.receiveFromPartition("0", EventPosition.earliest(), new ReceiveOptions().setOwnerLevel(1L))
                .subscribe(e -> reading.countDown(), e -> {
                    why.set(e);
                    told.countDown();
                });
            expect(reading.await(30, TimeUnit.SECONDS), "the first reader did not start");
            high.receiveFromPartition("0", EventPosition.earliest(), new ReceiveOptions().setOwnerLevel(2L)).blockFirst(LONG);
            expect(told.await(30, TimeUnit.SECONDS), "the first reader was not told");
            expect(why.get().getMessage().contains("higher epoch"), why.get());
            first.dispose();
        }
    }

    private static void droppedConnectionsAreSurvived() throws Exception {
        long before = last("2");
        List<String> got = Collections.synchronizedList(new ArrayList<>());
        CountDownLatch half = new CountDownLatch(3), full = new CountDownLatch(6);
        try (EventHubConsumerAsyncClient c = plain().consumerGroup("$Default").buildAsyncConsumerClient()) {
            AtomicLong at = new AtomicLong(before);
            // The SDK may end the reading; its processor then begins anew behind the last event.
            Disposable reading = Flux.defer(() -> c.receiveFromPartition("2", EventPosition.fromSequenceNumber(at.get())))
                .retry(20).repeat(20).subscribe(e -> {
                at.set(e.getData().getSequenceNumber());
                got.add(e.getData().getBodyAsString());
                half.countDown();
                full.countDown();
            }, e -> System.out.println("# " + e));
            send("2", "0", "1", "2");
            expect(half.await(30, TimeUnit.SECONDS), got);
            fault("{\"fault\":\"drop_connections\"}");
            send("2", "3", "4", "5");
            expect(full.await(60, TimeUnit.SECONDS), got);
            reading.dispose();
        }
        expect(String.join(",", got).equals("0,1,2,3,4,5"), got);
    }

    private static void aThrottledSendIsRetried() throws Exception {
        long before = last("3");
        fault("{\"fault\":\"reject_sends\",\"condition\":\"com.microsoft:server-busy\",\"count\":1}");
        send("3", "busy");
        expect(bodies(read("3", 1, EventPosition.fromSequenceNumber(before))).equals("busy"), "something else came");
    }

    private static EventHubClientBuilder secure(AmqpTransportType type, String port) {
        return builder().connectionString(System.getenv("SDK_TLS"), "hub").transportType(type)
            .customEndpointAddress("https://localhost:" + port);
    }

    private static void tlsCarriesTheSame() {
        roundTrip(() -> secure(AmqpTransportType.AMQP, System.getenv("SDK_PORT")));
    }

    private static void websocketInTlsCarriesTheSame() {
        String address = System.getenv("SDK_WSS");
        roundTrip(() -> secure(AmqpTransportType.AMQP_WEB_SOCKETS, address.substring(address.lastIndexOf(':') + 1)));
    }

    // ---- TAP ----

    private static void within(int seconds, Test test) throws Throwable {
        AtomicReference<Throwable> why = new AtomicReference<>(new AssertionError("took too long"));
        Thread thread = new Thread(() -> {
            try {
                test.run();
                why.set(null);
            } catch (Throwable e) {
                why.set(e);
            }
        });
        thread.setDaemon(true);
        thread.start();
        thread.join(seconds * 1000L);
        if (why.get() != null) {
            throw why.get();
        }
    }

    public static void main(String[] args) {
        Map<String, Test> tests = new java.util.LinkedHashMap<>();
        tests.put("properties are told", HubTest::propertiesAreTold);
        tests.put("batches go by id and by key", HubTest::batchesGoByIdAndByKey);
        tests.put("an event keeps its properties", HubTest::anEventKeepsItsProperties);
        tests.put("every start position is met", HubTest::everyStartPositionIsMet);
        tests.put("a higher owner level takes a partition over", HubTest::aHigherOwnerLevelTakesAPartitionOver);
        tests.put("dropped connections are survived", HubTest::droppedConnectionsAreSurvived);
        tests.put("a throttled send is retried", HubTest::aThrottledSendIsRetried);
        tests.put("TLS carries the same", HubTest::tlsCarriesTheSame);
        tests.put("WebSocket in TLS carries the same", HubTest::websocketInTlsCarriesTheSame);
        if (args.length > 0) {
            tests.keySet().removeIf(name -> Arrays.stream(args).noneMatch(name::contains));
        }
        System.out.println("1.." + tests.size());
        int number = 0, code = 0;
        for (Map.Entry<String, Test> test : tests.entrySet()) {
            number++;
            try {
                within(80, test.getValue());
                System.out.println("ok " + number + " - " + test.getKey());
            } catch (Throwable e) {
                code = 1;
                System.out.println("# " + String.valueOf(e).replace("\n", "\n# "));
                System.out.println("not ok " + number + " - " + test.getKey());
            }
        }
        System.exit(code); // the SDK may leave threads behind
    }
}
