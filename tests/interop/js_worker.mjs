// A worker of the official JavaScript SDK: writes a line of JSON per event, as `tidemark consume
// --format json --output` does, and checkpoints each batch. Connection strings come from the environment.
//   node js_worker.mjs HUB CONTAINER OUTPUT
import { EventHubConsumerClient, earliestEventPosition } from "@azure/event-hubs";
import { BlobCheckpointStore } from "@azure/eventhubs-checkpointstore-blob";
import { ContainerClient } from "@azure/storage-blob";
import { appendFileSync } from "node:fs";

const [hub, name, output] = process.argv.slice(2);
const container = new ContainerClient(process.env.AZURE_STORAGE_CONNECTION_STRING, name);
await container.createIfNotExists();
const client = new EventHubConsumerClient("$Default", process.env.EVENTHUB_CONNECTION_STRING, hub,
  new BlobCheckpointStore(container), { loadBalancingOptions: { strategy: "greedy", updateIntervalInMs: 1000 } });

const line = (partition, event) => JSON.stringify({
  partition, sequence: event.sequenceNumber, offset: event.offset, key: event.partitionKey,
  body: Buffer.isBuffer(event.body) ? event.body.toString() : event.body, properties: event.properties,
}) + "\n";

const subscription = client.subscribe({
  async processEvents(events, context) {
    if (events.length > 0) {
      appendFileSync(output, events.map((event) => line(context.partitionId, event)).join(""));
      await context.updateCheckpoint(events.at(-1));
    }
  },
  async processError(problem) {
    console.error(String(problem));
  },
}, { startPosition: earliestEventPosition, maxWaitTimeInSeconds: 1 });

process.once("SIGTERM", async () => {
  await subscription.close();
  await client.close();
  process.exit(0);
});
