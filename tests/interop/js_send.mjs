// Sends events of the kinds the official JavaScript SDK can, to partition 0: node js_send.mjs HUB.
// Writes what it has sent as one line of JSON.
import { EventHubProducerClient } from "@azure/event-hubs";

const client = new EventHubProducerClient(process.env.EVENTHUB_CONNECTION_STRING, process.argv[2]);
const events = [
  { body: "text, ü, \u{1f680}" },
  { body: 42 },
  { body: { nested: [1, "two", null, true] } },
  { body: [1, 2, 3] },
  { body: "with properties", properties: { text: "ö", whole: 7, large: 5000000000, part: 1.5, yes: true, no: false } },
  { body: "" },
];
await client.sendBatch(events, { partitionId: "0" });
console.log(JSON.stringify(events));
await client.close();
