// The official JavaScript SDK in the place of tests/bench/bench_worker.c and bench_send.c: the same work, the
// same lines. The connection strings come from the environment.
//   node js_bench.mjs drain CONTAINER PARTITIONS EVENTS WARM BATCH CHECKPOINT INTERVAL_MS
//   node js_bench.mjs latency CONTAINER PARTITIONS EVENTS WARM [BATCH]
//   node js_bench.mjs send EVENTS BODY
// BATCH 0: the SDK's default. CHECKPOINT: events of a partition between two; latency: bodies begin with a time.
import { EventHubConsumerClient, EventHubProducerClient, earliestEventPosition } from "@azure/event-hubs";
import { BlobCheckpointStore } from "@azure/eventhubs-checkpointstore-blob";
import { ContainerClient } from "@azure/storage-blob";

const [mode, ...rest] = process.argv.slice(2);
const hubText = process.env.EVENTHUB_CONNECTION_STRING;
const tell = (name, value, unit = "") => console.log(`${name}\t${value}\t${unit}`);
const instant = () => ({ wall: process.hrtime.bigint(), cpu: process.cpuUsage() });

function tellCost(events, begin, end) {
  tell("events", events, "events");
  tell("seconds", Number(end.wall - begin.wall) / 1e9, "s");
  tell("cpu", (end.cpu.user + end.cpu.system - begin.cpu.user - begin.cpu.system) / 1e6, "s");
}

function tellLatency(late) {
  late.sort((a, b) => a - b);
  for (const [name, share] of [["p50", 0.5], ["p99", 0.99], ["p99.9", 0.999]]) {
    tell(name, late[Math.floor(share * late.length)] / 1e6, "ms");
  }
}

async function consume(latency, name, partitions, total, warm, batch, every, interval) {
  const container = new ContainerClient(process.env.AZURE_STORAGE_CONNECTION_STRING, name);
  await container.createIfNotExists();
  const client = new EventHubConsumerClient("$Default", hubText, "hub", new BlobCheckpointStore(container),
    { loadBalancingOptions: { strategy: "greedy", updateIntervalInMs: interval } });
  const opened = new Set(), brought = new Set(), since = new Map(), late = [];
  let handled = 0, begin, end, checkpoints = 0, finish;
  const finished = new Promise((done) => finish = done);

  function take(events, partition) {
    const before = handled;
    handled += events.length;
    if (before === 0) {
      tell("first", 1);
    }
    if (!brought.has(partition) && brought.add(partition).size === partitions) {
      tell("all", 1);
    }
    if (before <= warm && handled > warm) {
      begin = instant();
    }
    if (latency) {
      const now = process.hrtime.bigint();
      events.forEach((e, i) => before + i >= warm && late.push(Number(now - e.body.readBigInt64LE(0))));
    }
    if (before < total && handled >= total) {
      end = instant();
    }
  }

  const subscription = client.subscribe({
    async processInitialize(context) {
      if (opened.add(context.partitionId).size === partitions) {
        tell("owned", 1);
      }
    },
    async processEvents(events, context) {
      if (events.length === 0 || end) {
        return;
      }
      const p = context.partitionId;
      take(events, p);
      since.set(p, (since.get(p) ?? 0) + events.length);
      if (since.get(p) >= every) {
        since.set(p, 0);
        checkpoints++;
        await context.updateCheckpoint(events.at(-1));
      }
      if (end) {
        finish();
      }
    },
    async processError(problem) {
      console.error(String(problem));
    },
  }, { startPosition: earliestEventPosition, ...(batch > 0 ? { maxBatchSize: batch } : {}) });
  await finished;
  tellCost(total - warm, begin, end);
  if (latency) {
    tellLatency(late);
  }
  tell("warm", warm, "events");
  tell("checkpoints", checkpoints);
  await subscription.close();
  await client.close();
}

async function send(events, size) {
  const client = new EventHubProducerClient(hubText, "hub");
  const body = Buffer.alloc(size);
  let left = events;

  async function sender() {
    while (left > 0) {
      left -= 100;
      const batch = await client.createBatch();
      for (let i = 0; i < 100; i++) {
        if (!batch.tryAdd({ body })) {
          throw new Error("a batch is too small");
        }
      }
      await client.sendBatch(batch);
    }
  }
  await client.createBatch(); // the link is there, as it is with bench_send
  const begin = instant();
  await Promise.all(Array.from({ length: 16 }, sender));
  tellCost(events, begin, instant());
  await client.close();
}

const numbers = rest.map(Number);
if (mode === "send") {
  await send(...numbers);
} else {
  const [partitions, events, warm, batch = 0, every = 1000, interval = 200] = numbers.slice(1);
  await consume(mode === "latency", rest[0], partitions, events, warm, batch, every, interval);
}
process.exit(0);
