/*
 * The official JavaScript SDK against tidemark-hub: what it does with the
 * service, it must be able to do here. Node's own test runner, TAP on stdout.
 *
 *   TIDEMARK_HUB=build/tools/hub/tidemark-hub node --test js_hub.test.mjs
 */
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, before, describe, it } from "node:test";
import tls from "node:tls";

import {
  EventHubConsumerClient,
  EventHubProducerClient,
  earliestEventPosition,
  latestEventPosition,
} from "@azure/event-hubs";
import WebSocket from "ws";

const folder = mkdtempSync(join(tmpdir(), "tidemark-js-"));
const cert = join(folder, "cert.pem");
const key = join(folder, "key.pem");
const quick = { retryOptions: { maxRetries: 6, retryDelayInMs: 50, timeoutInMs: 10000 } };
/* A send that a fault overtakes has no outcome: the SDK waits for this long before it tries again. */
const quicker = { retryOptions: { maxRetries: 9, retryDelayInMs: 50, timeoutInMs: 1500 } };

/* ---- the hub ---- */

class Hub {
  static async start(...args) {
    const hub = new Hub();
    hub.child = spawn(process.env.TIDEMARK_HUB, ["--control", "127.0.0.1:0", ...args], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    hub.ended = new Promise((done, failed) => hub.child.once("exit", done).once("error", failed));
    const line = await Promise.race([
      new Promise((done) => createInterface({ input: hub.child.stdout }).once("line", done)),
      hub.ended.then((code) => Promise.reject(new Error(`the hub ended with ${code}`))),
    ]);
    hub.info = JSON.parse(line);
    hub.text = hub.info.connection_string;
    return hub;
  }

  async stop() {
    this.child.kill("SIGTERM");
    return this.ended;
  }

  async fault(what) {
    const answer = await fetch(`http://${this.info.control}/faults`, {
      method: "POST",
      body: JSON.stringify(what),
    });
    const body = await answer.json();
    assert.equal(answer.status, 200, JSON.stringify(body));
    return body;
  }

  async state() {
    return (await fetch(`http://${this.info.control}/state`)).json();
  }
}

/* ---- clients ---- */

const open = new Set();

function producer(text, options = {}) {
  const client = new EventHubProducerClient(text, "hub", { ...quick, ...options });
  open.add(client);
  return client;
}

function consumer(text, options = {}) {
  const client = new EventHubConsumerClient("$Default", text, "hub", { ...quick, ...options });
  open.add(client);
  return client;
}

async function closeAll() {
  await Promise.all([...open].map((client) => client.close()));
  open.clear();
}

/* Receives from one partition until `count` events are there. */
function receive(client, partition, startPosition, count, options = {}) {
  const events = [];
  return new Promise((done, failed) => {
    const subscription = client.subscribe(
      partition,
      {
        async processEvents(batch, context) {
          events.push(...batch);
          events.last = context.lastEnqueuedEventProperties;
          if (events.length >= count) {
            done(subscription.close().then(() => events));
          }
        },
        async processError(problem) {
          if (!problem.retryable) {
            failed(problem);
          }
        },
      },
      { startPosition, maxWaitTimeInSeconds: 1, ...options },
    );
  });
}

const bodies = (events) => events.map((event) => event.body);

/* Sends numbered events to a partition. */
async function sendNumbers(client, partition, from, to) {
  const batch = await client.createBatch({ partitionId: partition });
  for (let i = from; i < to; i++) {
    assert.ok(batch.tryAdd({ body: i }));
  }
  await client.sendBatch(batch);
}

before(() => {
  execFileSync("openssl", ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
    "-nodes", "-keyout", key, "-out", cert, "-days", "2", "-subj", "/CN=localhost",
    "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"], { stdio: "ignore" });
  /* The SDK has no option for a certificate authority; NODE_EXTRA_CA_CERTS must be set before. */
  const connect = tls.connect;
  tls.connect = (options, ...rest) => connect({ ...options, ca: readFileSync(cert) }, ...rest);
});

after(() => rmSync(folder, { recursive: true }));

/* ---- the four ways in ---- */

/* The SDK only knows wss, on the port of the endpoint. */
function plainWebSocket(address) {
  return class extends WebSocket {
    constructor(url, protocols) {
      super(url.replace(/^wss:\/\/[^/]*/, `ws://${address}`), protocols);
    }
  };
}

const ways = {
  "TCP": () => [[], (hub) => [hub.text, {}]],
  "TLS": () => [["--tls-cert", cert, "--tls-key", key],
    (hub) => [hub.text.replace(";UseDevelopmentEmulator=true", ""), {}]],
  "WebSocket": () => [["--websocket", "127.0.0.1:0"],
    (hub) => [hub.text, { webSocketOptions: { webSocket: plainWebSocket(hub.info.websocket) } }]],
  "WebSocket in TLS": () => [["--websocket", "127.0.0.1:0", "--tls-cert", cert, "--tls-key", key],
    (hub) => [
      hub.text.replace(";UseDevelopmentEmulator=true", "")
        .replace(/:\d+;/, `:${hub.info.websocket.split(":")[1]};`),
      { webSocketOptions: {
        webSocket: WebSocket, webSocketConstructorOptions: { ca: readFileSync(cert) } } },
    ]],
};

for (const [name, way] of Object.entries(ways)) {
  describe(`over ${name}`, () => {
    let hub, text, options;

    before(async () => {
      const [args, dial] = way();
      hub = await Hub.start("--hub", "hub:4", ...args);
      [text, options] = dial(hub);
    });
    after(async () => {
      await closeAll();
      assert.equal(await hub.stop(), 0);
    });

    it("tells the properties of the hub and of a partition", async () => {
      const client = producer(text, options);
      const properties = await client.getEventHubProperties();
      assert.equal(properties.name, "hub");
      assert.deepEqual(properties.partitionIds, ["0", "1", "2", "3"]);
      const partition = await client.getPartitionProperties("3");
      assert.equal(partition.isEmpty, true);
      assert.equal(partition.lastEnqueuedSequenceNumber, -1);
      await assert.rejects(client.getPartitionProperties("4"));
    });

    it("takes and gives a batch", async () => {
      await sendNumbers(producer(text, options), "1", 0, 100);
      const events = await receive(consumer(text, options), "1", earliestEventPosition, 100);
      assert.deepEqual(bodies(events), [...Array(100).keys()]);
    });

    it("carries a large event in many frames, both ways", async () => {
      const body = "x".repeat(700000);
      await producer(text, options).sendBatch([{ body }], { partitionId: "2" });
      const events = await receive(consumer(text, options), "2", earliestEventPosition, 1);
      assert.equal(events[0].body, body);
    });
  });
}

/* ---- sending ---- */

describe("sending", () => {
  let hub;

  before(async () => {
    hub = await Hub.start("--hub", "hub:4");
  });
  after(async () => {
    await closeAll();
    await hub.stop();
  });

  it("keeps all that an event has", async () => {
    const event = {
      body: { nested: [1, "two", null] },
      contentType: "application/x-thing",
      correlationId: "c-1",
      messageId: "m-1",
      properties: { text: "ü", number: 7, truth: true },
    };
    await producer(hub.text).sendBatch([event], { partitionId: "0" });
    const [got] = await receive(consumer(hub.text), "0", earliestEventPosition, 1);
    assert.deepEqual(got.body, event.body);
    assert.equal(got.contentType, event.contentType);
    assert.equal(got.correlationId, "c-1");
    assert.equal(got.messageId, "m-1");
    assert.deepEqual(got.properties, event.properties);
    assert.equal(got.sequenceNumber, 0);
    assert.ok(Math.abs(got.enqueuedTimeUtc - Date.now()) < 60000);
  });

  it("routes a key as the SDK itself would", async () => {
    const client = producer(hub.text);
    const { createRequire } = await import("node:module");
    const path = createRequire(import.meta.url).resolve("@azure/event-hubs")
      .replace(/index\.js$/, "impl/partitionKeyToIdMapper.js");
    const { mapPartitionKeyToId } = createRequire(import.meta.url)(path);
    const keys = ["a", "device-0001", "partition-key", "köln", "🚀", "0123456789abc"];
    for (const partitionKey of keys) {
      await client.sendBatch([{ body: partitionKey }], { partitionKey });
      const partition = String(mapPartitionKeyToId(partitionKey, 4));
      const properties = await client.getPartitionProperties(partition);
      const events = await receive(consumer(hub.text), partition,
        { sequenceNumber: properties.lastEnqueuedSequenceNumber, isInclusive: true }, 1);
      assert.equal(events[0].body, partitionKey);
      assert.equal(events[0].partitionKey, partitionKey);
    }
  });

  it("spreads what has no key", async () => {
    const client = producer(hub.text);
    const before = (await hub.state()).hubs[0].partitions.map((p) => p.last_sequence);
    for (let i = 0; i < 8; i++) {
      await client.sendBatch([{ body: i }]);
    }
    const later = (await hub.state()).hubs[0].partitions.map((p) => p.last_sequence);
    assert.deepEqual(later.map((last, i) => last - before[i]), [2, 2, 2, 2]);
  });

  it("is retried through a throttled hub", async () => {
    await hub.fault({ fault: "reject_sends", condition: "com.microsoft:server-busy", count: 3 });
    const before = (await hub.state()).totals.sends_rejected;
    await producer(hub.text).sendBatch([{ body: "busy" }], { partitionId: "3" });
    assert.equal((await hub.state()).totals.sends_rejected - before, 3);
  });

  it("fails at once on a partition that is not there", async () => {
    await assert.rejects(producer(hub.text).sendBatch([{ body: 1 }], { partitionId: "9" }),
      { code: "ArgumentOutOfRangeError" });
  });

  it("is refused without the right key", async () => {
    const text = hub.text.replace(/SharedAccessKey=[^;]*/, "SharedAccessKey=wrong");
    const client = producer(text, { retryOptions: { maxRetries: 0 } });
    await assert.rejects(client.sendBatch([{ body: 1 }]), { code: "UnauthorizedError" });
  });
});

describe("throttling", () => {
  let hub;

  before(async () => {
    hub = await Hub.start("--hub", "hub:1", "--throughput-units", "1");
  });
  after(async () => {
    await closeAll();
    await hub.stop();
  });

  it("is seen as server-busy and retried through", async () => {
    const client = producer(hub.text,
      { retryOptions: { maxRetries: 20, retryDelayInMs: 200, timeoutInMs: 10000 } });
    for (let i = 0; i < 5; i++) {
      await sendNumbers(client, "0", i * 500, i * 500 + 500); /* 2500, where 1000 a second pass */
    }
    assert.ok((await hub.state()).totals.throttled >= 1);
    const bare = producer(hub.text, { retryOptions: { maxRetries: 0 } });
    await assert.rejects(async () => {
      for (;;) {
        await sendNumbers(bare, "0", 0, 500);
      }
    }, { code: "ServerBusyError", message: /50002|50009/ });
  });
});

describe("a folder", () => {
  const data = join(folder, "data");
  const args = ["--hub", "hub:2", "--data", data, "--key", "fixed"];

  after(closeAll);

  it("keeps what was accepted when the hub is killed", async () => {
    const accepted = [];
    let next = 0;
    for (let round = 0; round < 4; round++) {
      const hub = await Hub.start(...args);
      const client = producer(hub.text, { retryOptions: { maxRetries: 0, timeoutInMs: 2000 } });
      const sending = (async () => {
        for (;;) {
          const body = next++;
          await client.sendBatch([{ body }], { partitionId: "0" });
          accepted.push(body);
        }
      })();
      const enough = accepted.length + 50;
      while (accepted.length < enough) {
        await new Promise((done) => setImmediate(done));
      }
      hub.child.kill("SIGKILL");
      await assert.rejects(sending);
      await hub.ended;
      await client.close();
    }
    const hub = await Hub.start(...args);
    const count = (await hub.state()).hubs[0].partitions[0].last_sequence + 1;
    const stored = bodies(await receive(consumer(hub.text), "0", earliestEventPosition, count));
    assert.deepEqual(stored, [...stored].sort((a, b) => a - b));
    assert.equal(new Set(stored).size, stored.length);
    assert.deepEqual(accepted.filter((body) => !stored.includes(body)), []);
    await closeAll();
    assert.equal(await hub.stop(), 0);
  });

  it("is refused to a second hub", async () => {
    const hub = await Hub.start(...args);
    const second = spawn(process.env.TIDEMARK_HUB, args, { stdio: ["ignore", "ignore", "pipe"] });
    let words = "";
    second.stderr.on("data", (text) => (words += text));
    assert.equal(await new Promise((done) => second.once("exit", done)), 1);
    assert.match(words, /in use by another hub/);
    await hub.stop();
  });
});

/* ---- receiving ---- */

describe("receiving", () => {
  let hub, sent;

  before(async () => {
    hub = await Hub.start("--hub", "hub:2");
    const client = producer(hub.text);
    await sendNumbers(client, "0", 0, 5);
    await new Promise((done) => setTimeout(done, 20)); /* the clock must tick between the two */
    await sendNumbers(client, "0", 5, 10);
    sent = await receive(consumer(hub.text), "0", earliestEventPosition, 10);
  });
  after(async () => {
    await closeAll();
    await hub.stop();
  });

  const from = async (position, count) =>
    bodies(await receive(consumer(hub.text), "0", position, count));

  it("starts at the earliest event", async () => {
    assert.deepEqual(await from(earliestEventPosition, 10), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  });

  it("starts after an offset", async () => {
    assert.deepEqual(await from({ offset: sent[3].offset }, 6), [4, 5, 6, 7, 8, 9]);
  });

  it("starts at an offset", async () => {
    assert.deepEqual(await from({ offset: sent[3].offset, isInclusive: true }, 7),
      [3, 4, 5, 6, 7, 8, 9]);
  });

  it("starts after a sequence number", async () => {
    assert.deepEqual(await from({ sequenceNumber: 7 }, 2), [8, 9]);
  });

  it("starts at a sequence number", async () => {
    assert.deepEqual(await from({ sequenceNumber: 7, isInclusive: true }, 3), [7, 8, 9]);
  });

  it("starts after a time", async () => {
    assert.deepEqual(await from({ enqueuedOn: sent[4].enqueuedTimeUtc.getTime() }, 5),
      [5, 6, 7, 8, 9]);
  });

  it("starts with what comes next", async () => {
    const next = receive(consumer(hub.text), "1", latestEventPosition, 1);
    while ((await hub.state()).hubs[0].partitions[1].readers.length === 0);
    await producer(hub.text).sendBatch([{ body: "next" }], { partitionId: "1" });
    assert.deepEqual(bodies(await next), ["next"]);
  });

  it("is refused past the end", async () => {
    await assert.rejects(from({ offset: "999999" }, 1), { code: "ArgumentError" });
  });

  it("tells the last enqueued event", async () => {
    const events = await receive(consumer(hub.text), "0", earliestEventPosition, 10,
      { trackLastEnqueuedEventProperties: true });
    assert.equal(events.last.sequenceNumber, 9);
    assert.equal(events.last.offset, sent[9].offset);
    assert.equal(events.last.enqueuedOn.getTime(), sent[9].enqueuedTimeUtc.getTime());
  });

  it("is taken over by a higher owner level", async () => {
    const options = (ownerLevel) => ({
      ownerLevel, startPosition: earliestEventPosition, maxWaitTimeInSeconds: 1,
    });
    const first = consumer(hub.text);
    let attached;
    const running = new Promise((done) => (attached = done));
    const lost = new Promise((done) => {
      first.subscribe("0", {
        processEvents: async () => attached(),
        processError: async (problem) => done(problem),
      }, options(1));
    });
    await running;
    const events = await receive(consumer(hub.text), "0", earliestEventPosition, 10,
      { ownerLevel: 2 });
    assert.equal(events.length, 10);
    assert.equal((await lost).code, "ReceiverDisconnectedError");
    await first.close();
  });

  it("is refused to a lower owner level", async () => {
    const high = consumer(hub.text);
    let attached;
    const running = new Promise((done) => (attached = done));
    high.subscribe("0", { processEvents: async () => attached(), processError: async () => {} },
      { ownerLevel: 5, startPosition: earliestEventPosition });
    await running;
    await assert.rejects(receive(consumer(hub.text), "0", earliestEventPosition, 1,
      { ownerLevel: 4 }), { code: "ReceiverDisconnectedError" });
    await high.close();
  });

  it("is refused to a sixth reader", async () => {
    const readers = [];
    for (let i = 0; i < 5; i++) {
      const client = consumer(hub.text);
      client.subscribe("1", { processEvents: async () => {}, processError: async () => {} },
        { startPosition: earliestEventPosition, maxWaitTimeInSeconds: 1 });
      readers.push(client);
    }
    while ((await hub.state()).hubs[0].partitions[1].readers.length < 5);
    await assert.rejects(receive(consumer(hub.text), "1", earliestEventPosition, 1),
      { code: "QuotaExceededError" });
    await Promise.all(readers.map((client) => client.close()));
  });
});

/* ---- trouble ---- */

describe("trouble", () => {
  let hub;

  before(async () => {
    hub = await Hub.start("--hub", "hub:2");
  });
  after(async () => {
    await closeAll();
    await hub.stop();
  });

  /* A subscription that survives `disturb`, and gets each event once. */
  async function survives(disturb) {
    const sender = producer(hub.text, quicker);
    const client = consumer(hub.text, quicker);
    const start = (await sender.getPartitionProperties("0")).lastEnqueuedSequenceNumber;
    const got = [];
    let enough, wanted;
    const reached = (count) => new Promise((done) => ([wanted, enough] = [count, done]));
    let half = reached(10);
    client.subscribe("0", {
      async processEvents(events) {
        got.push(...bodies(events));
        if (got.length >= wanted) {
          enough();
        }
      },
      async processError() {},
    }, { startPosition: start < 0 ? earliestEventPosition : { sequenceNumber: start },
      maxWaitTimeInSeconds: 1 });
    await sendNumbers(sender, "0", 0, 10);
    await half;
    half = reached(20);
    await disturb();
    await sendNumbers(sender, "0", 10, 20);
    await half;
    assert.deepEqual(got, [...Array(20).keys()]);
    await client.close();
    await sender.close();
  }

  it("all connections are dropped", () => survives(async () => {
    assert.ok((await hub.fault({ fault: "drop_connections" })).met >= 2);
  }));

  it("all connections are closed by the service", () => survives(async () => {
    assert.ok((await hub.fault({ fault: "close_connections" })).met >= 2);
  }));

  it("links are detached", () => survives(async () => {
    assert.ok((await hub.fault({ fault: "detach", hub: "hub" })).met >= 1);
  }));

  it("tokens expire", () => survives(async () => {
    assert.ok((await hub.fault({ fault: "expire_tokens" })).met >= 1);
  }));

  it("a frozen hub thaws", () => survives(async () => {
    await hub.fault({ fault: "freeze", duration_ms: 300 });
  }));

  it("everything drips byte by byte", () => survives(async () => {
    await hub.fault({ fault: "drip", bytes: 1, ms: 0, duration_ms: 2000 });
  }));

  it("an attach is refused twice", () => survives(async () => {
    await hub.fault({ fault: "refuse_attach", role: "receiver", count: 2 });
    await hub.fault({ fault: "detach", role: "receiver" });
  }));

  it("old events go: a reader starts at the oldest that is left", async () => {
    await hub.fault({ fault: "truncate", partition: "0", before: 5 });
    const [first] = await receive(consumer(hub.text), "0", earliestEventPosition, 1);
    assert.equal(first.sequenceNumber, 5);
  });

  it("the hub is made anew: a position from before is refused", async () => {
    const last = (await producer(hub.text).getPartitionProperties("0")).lastEnqueuedOffset;
    await hub.fault({ fault: "recreate", hub: "hub" });
    await assert.rejects(receive(consumer(hub.text), "0", { offset: last }, 1),
      { code: "ArgumentError" });
    await sendNumbers(producer(hub.text), "0", 0, 3);
    const events = await receive(consumer(hub.text), "0", earliestEventPosition, 3);
    assert.deepEqual(events.map((e) => e.sequenceNumber), [0, 1, 2]);
  });

  it("offsets that are no numbers can be started from", async () => {
    await hub.fault({ fault: "geo", on: true });
    const events = await receive(consumer(hub.text), "0", earliestEventPosition, 3);
    assert.ok(Number.isNaN(Number(events[1].offset)));
    const [next] = await receive(consumer(hub.text), "0", { offset: events[1].offset }, 1);
    assert.equal(next.sequenceNumber, 2);
    assert.equal((await producer(hub.text).getEventHubProperties()).isGeoDrEnabled, true);
    await assert.rejects(receive(consumer(hub.text), "0", { offset: "100" }, 1));
    await hub.fault({ fault: "geo", on: false });
  });
});
