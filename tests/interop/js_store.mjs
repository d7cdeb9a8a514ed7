// The official JavaScript checkpoint store, driven by lines on standard input: one JSON array
// [method, ...arguments] a line, one JSON answer a line. Arguments: the account's connection
// string and the container.
import { BlobCheckpointStore } from "@azure/eventhubs-checkpointstore-blob";
import { ContainerClient } from "@azure/storage-blob";
import { createInterface } from "node:readline";

const [connectionString, container] = process.argv.slice(2);
const store = new BlobCheckpointStore(new ContainerClient(connectionString, container));
const where = { fullyQualifiedNamespace: "ns.servicebus.windows.net", eventHubName: "Hub", consumerGroup: "Group" };
const names = [where.fullyQualifiedNamespace, where.eventHubName, where.consumerGroup];

const methods = {
  ownerships: async () => (await store.listOwnership(...names)).map((o) => [o.partitionId, o.ownerId, o.etag]),
  checkpoints: async () =>
    (await store.listCheckpoints(...names)).map((c) => [c.partitionId, c.sequenceNumber, c.offset]),
  // Returns the new ETag, or null when the claim was lost.
  claim: async (partitionId, ownerId, etag) => {
    const claimed = await store.claimOwnership([{ ...where, partitionId, ownerId, etag: etag || undefined }]);
    return claimed.length === 1 ? claimed[0].etag : null;
  },
  checkpoint: async (partitionId, sequenceNumber, offset) => {
    await store.updateCheckpoint({ ...where, partitionId, sequenceNumber, offset });
    return true;
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const [method, ...args] = JSON.parse(line);
  try {
    console.log(JSON.stringify({ ok: await methods[method](...args) }));
  } catch (error) {
    console.log(JSON.stringify({ error: error.code ?? error.details?.errorCode ?? error.name ?? String(error) }));
  }
}
