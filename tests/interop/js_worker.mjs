// A worker of the official JavaScript SDK: writes a line of JSON per event, as `tidemark consume
// --format json --output` does, and checkpoints each batch. Connection strings come from the environment.
//   node js_worker.mjs HUB CONTAINER OUTPUT [STRATEGY INTERVAL_MS EXPIRY_MS JOURNAL]
// The journal, if any, gets a line for each partition that is opened and closed.
import { EventHubConsumerClient, earliestEventPosition } from "@azure/event-hubs";
import { BlobCheckpointStore } from "@azure/eventhubs-checkpointstore-blob";
import { ContainerClient } from "@azure/storage-blob";
import { appendFileSync } from "node:fs";

const [hub, name, output, strategy = "greedy", interval = "1000", expiry = "60000", journal] = process.argv.slice(2);
const container = new ContainerClient(process.env.AZURE_STORAGE_CONNECTION_STRING, name);
await container.createIfNotExists();
const client = new EventHubConsumerClient("$Default", process.env.EVENTHUB_CONNECTION_STRING, hub,
  new BlobCheckpointStore(container), { loadBalancingOptions: { strategy, updateIntervalInMs: Number(interval),
    partitionOwnershipExpirationIntervalInMs: Number(expiry) } });

const line = (partition, event) => JSON.stringify({
  partition, sequence: event.sequenceNumber, offset: event.offset, key: event.partitionKey,
  body: Buffer.isBuffer(event.body) ? event.body.toString() : event.body, properties: event.properties,
}) + "\n";

const tell = (ev, partition) => {
  if (journal) {
    appendFileSync(journal, JSON.stringify({ t: Date.now() / 1000, ev, partition }) + "\n");
  }
};

const subscription = client.subscribe({
  async processInitialize(context) {
    tell("open", context.partitionId);
  },
  async processClose(reason, context) {
    tell("close", context.partitionId);
  },
  async processEvents(events, context) {
    if (events.length > 0) {
      appendFileSync(output, events.map((event) => line(context.partitionId, event)).join(""));
      await context.updateCheckpoint(events.at(-1));
    }
  },
  async processError(problem) {
    console.error(String(problem));
  },
}, { startPosition: earliestEventPosition, maxWaitTimeInSeconds: 1, maxBatchSize: 100 });

process.once("SIGTERM", async () => {
  await subscription.close();
  await client.close();
  process.exit(0);
});
