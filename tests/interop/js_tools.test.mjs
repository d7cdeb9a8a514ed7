/*
 * What the tools and the library send is what the official JavaScript SDK reads, and the reverse:
 * bodies, keys, properties of every AMQP type, sequence numbers, offsets and times.
 */
import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { after, before, describe, it } from "node:test";

import {
  EventHubConsumerClient,
  EventHubProducerClient,
  earliestEventPosition,
} from "@azure/event-hubs";

const require = createRequire(import.meta.url);
const { types } = require("rhea");
const { mapPartitionKeyToId } = require(require.resolve("@azure/event-hubs")
  .replace(/index\.js$/, "impl/partitionKeyToIdMapper.js"));

const PARTITIONS = 4;
let child, text;

before(async () => {
  child = spawn(process.env.TIDEMARK_HUB, ["--hub", `hub:${PARTITIONS}`, "--hub", "back:1", "--hub", "kinds:1",
    "--hub", "spread:2"], { stdio: ["ignore", "pipe", "inherit"] });
  const line = await new Promise((done) => createInterface({ input: child.stdout }).once("line", done));
  text = JSON.parse(line).connection_string;
});

after(() => child.kill("SIGTERM"));

/* ---- both sides ---- */

function program(path, args, input = "") {
  return new Promise((done, failed) => {
    const run = execFile(path, args, {
      env: { PATH: process.env.PATH, EVENTHUB_CONNECTION_STRING: text, TIDEMARK_LOG_LEVEL: "none" },
      timeout: 30000, maxBuffer: 64 << 20,
    }, (problem, out, words) => problem ? failed(new Error(`${problem.message}: ${words}`)) : done(out));
    run.stdin.on("error", () => {}); /* it may have ended before it has read all */
    run.stdin.end(input);
  });
}

const send = (args, input) =>
  program(process.env.TIDEMARK, ["send", "--json", ...args], input).then(JSON.parse);

async function peek(hub, partition, count) {
  const out = await program(process.env.TIDEMARK,
    ["peek", "--hub", hub, "--partition", partition, "--count", String(count), "--wait", "1s"]);
  return out.split("\n").filter(Boolean).map((line) => JSON.parse(line));
}

function read(hub, partition, count) {
  const client = new EventHubConsumerClient("$Default", text, hub);
  const events = [];
  return new Promise((done, failed) => {
    const subscription = client.subscribe(partition, {
      async processEvents(batch) {
        events.push(...batch);
        if (events.length >= count) {
          done(subscription.close().then(() => client.close()).then(() => events));
        }
      },
      async processError(problem) {
        failed(problem);
      },
    }, { startPosition: earliestEventPosition, maxWaitTimeInSeconds: 1, skipParsingBodyAsJson: true });
  });
}

/* What the service says of an event: each reader must see the same. */
function assertSamePlace(ours, theirs) {
  assert.deepEqual(
    ours.map((e) => [e.sequence, e.offset, e.enqueued, e.key]),
    theirs.map((e) => [e.sequenceNumber, e.offset, e.enqueuedTimeUtc.toISOString(), e.partitionKey ?? undefined]));
}

const ourBody = (e) => e.body_base64 === undefined ? Buffer.from(e.body) : Buffer.from(e.body_base64, "base64");

/* ---- from the tools to the SDK ---- */

describe("tidemark send", () => {
  it("is read as it was written: keys, bodies, places", async () => {
    const keys = ["a", "device-0001", "köln", "🚀", "0123456789abc", "with space"];
    const lines = [];
    for (let i = 0; i < 60; i++) {
      lines.push([keys[i % keys.length], `event ${i} ü🚀 "quoted" \\ ${"x".repeat(i * 40)}`]);
    }
    const result = await send(["--hub", "hub", "--key-separator", "|", "--batch-size", "7"],
      lines.map(([key, body]) => `${key}|${body}\n`).join(""));
    assert.equal(result.acknowledged, lines.length);
    assert.equal(result.failed + result.maybe_twice, 0);
    let total = 0;
    for (let p = 0; p < PARTITIONS; p++) {
      const expected = lines.filter(([key]) => mapPartitionKeyToId(key, PARTITIONS) === p);
      if (expected.length === 0) {
        continue;
      }
      const theirs = await read("hub", String(p), expected.length);
      const ours = await peek("hub", String(p), 1000);
      assertSamePlace(ours, theirs);
      assert.deepEqual(theirs.map((e) => e.sequenceNumber), expected.map((_, i) => i));
      for (const key of keys) { /* in order for each key */
        assert.deepEqual(theirs.filter((e) => e.partitionKey === key).map((e) => String(e.body)),
          expected.filter(([k]) => k === key).map(([, body]) => body));
      }
      assert.deepEqual(ours.map(ourBody), theirs.map((e) => e.body));
      total += theirs.length;
    }
    assert.equal(total, lines.length);
  });

  it("carries bytes that are no text, and empty events", async () => {
    const bodies = [Buffer.from([0xff, 0xfe, 0x00, 0x80]), Buffer.alloc(0), Buffer.from("plain")];
    await send(["--hub", "back", "--partition", "0"], Buffer.concat(bodies.flatMap((b) => [b, Buffer.from("\n")])));
    const theirs = await read("back", "0", 3);
    const ours = await peek("back", "0", 3);
    assert.deepEqual(theirs.map((e) => e.body), bodies);
    assert.deepEqual(ours.map(ourBody), bodies);
    assertSamePlace(ours, theirs);
  });

  it("spreads what has no key", async () => {
    assert.equal((await send(["--hub", "spread", "--batch-size", "10"],
      Array.from({ length: 40 }, (_, i) => `${i}\n`).join(""))).acknowledged, 40);
    const all = [...await peek("spread", "0", 100), ...await peek("spread", "1", 100)];
    assert.deepEqual(all.map((e) => Number(e.body)).sort((a, b) => a - b), [...Array(40).keys()]);
    assert.ok(all.every((e) => e.key === undefined));
  });
});

describe("the library", () => {
  it("writes properties of every type, standard properties and bodies as the SDK reads them", async () => {
    await program(process.env.TIDEMARK_KINDS, ["kinds", "0"]);
    const events = await read("kinds", "0", 7);
    const [properties, standard, ...values] = events;
    assert.equal(String(properties.body), "properties");
    const got = { ...properties.properties };
    /* The SDK copies properties, and what was a buffer is then an object with its bytes. */
    assert.equal(String(Buffer.from(Object.values(got.uuid))), "0123456789abcdef");
    assert.deepEqual(Object.values(got.binary), [0, 255, 1]);
    assert.equal(new Date(got.time).getTime(), 1763732484123);
    assert.equal(got.char, 0x1f680);
    for (const name of ["uuid", "binary", "time", "char"]) {
      delete got[name];
    }
    assert.deepEqual(got, {
      null: null, true: true, false: false, byte: -128, short: -32768, int: -(2 ** 31), long: -9007199254740991,
      ubyte: 255, ushort: 65535, uint: 2 ** 32 - 1, ulong: 9007199254740991, float: 0.5, double: 0.1,
      string: "ü 🚀", symbol: "a-symbol",
    });
    assert.equal(properties.systemProperties["x-mine"], -(2 ** 31));

    assert.equal(standard.messageId, "m-1");
    assert.equal(standard.correlationId, "c-1");
    assert.equal(standard.contentType, "application/x-thing");
    const raw = standard.getRawAmqpMessage().properties;
    assert.deepEqual([String(Buffer.from(Object.values(standard.systemProperties.userId))), raw.to, raw.subject, raw.replyTo, raw.contentEncoding, raw.groupId,
      raw.groupSequence, raw.replyToGroupId],
    ["user", "there", "about", "here", "gzip", "g-1", 7, "g-2"]);
    assert.equal(new Date(raw.absoluteExpiryTime).getTime(), 1763732484123);
    assert.equal(new Date(raw.creationTime).getTime(), 1763732484000);

    assert.deepEqual(values.map((e) => e.body), ["value text", 42, true, [1, "two"], { a: true }]);
    assert.ok(values.every((e) => e.getRawAmqpMessage().bodyType === "value"));
    assertSamePlace(await peek("kinds", "0", 7), events);
  });
});

/* ---- from the SDK to the tools ---- */

describe("tidemark peek", () => {
  it("shows what the SDK has sent: properties of every type, bodies, keys", async () => {
    const client = new EventHubProducerClient(text, "hub");
    const written = {
      true: [true, true], false: [types.wrap_boolean(false), false],
      byte: [types.wrap_byte(-5), -5], short: [types.wrap_short(-500), -500], int: [types.wrap_int(-70000), -70000],
      long: [types.wrap_long(-5000000000), -5000000000], ubyte: [types.wrap_ubyte(200), 200],
      ushort: [types.wrap_ushort(60000), 60000], uint: [types.wrap_uint(4000000000), 4000000000],
      ulong: [types.wrap_ulong(5000000000), 5000000000], float: [types.wrap_float(1.5), 1.5],
      double: [types.wrap_double(0.1), 0.1], char: [types.wrap_char(0x41), 0x41],
      time: [types.wrap_timestamp(1763732484123), "2025-11-21T13:41:24.123Z"],
      uuid: [types.wrap_uuid(Buffer.from("0123456789abcdef")), "30313233-3435-3637-3839-616263646566"],
      binary: [types.wrap_binary(Buffer.from([0, 255, 1])), "AP8B"], string: ["ü 🚀", "ü 🚀"],
      symbol: [types.wrap_symbol("sym"), "sym"],
    };
    const properties = Object.fromEntries(Object.entries(written).map(([name, [value]]) => [name, value]));
    const expected = Object.fromEntries(Object.entries(written).map(([name, [, shown]]) => [name, shown]));
    const partitionKey = "all-types";
    const partition = String(mapPartitionKeyToId(partitionKey, PARTITIONS));
    const before = (await client.getPartitionProperties(partition)).lastEnqueuedSequenceNumber + 1;
    const batch = await client.createBatch({ partitionKey });
    for (const event of [{ body: "typed", properties }, { body: { nested: [1, "two", null] } }, { body: 42 },
      { body: Buffer.from([0xff, 0x00]) }, { body: Buffer.from("bytes") }, { body: "" }]) {
      assert.ok(batch.tryAdd(event));
    }
    await client.sendBatch(batch);
    await client.close();
    const theirs = (await read("hub", partition, before + 6)).slice(before);
    const ours = (await peek("hub", partition, before + 6)).slice(before);
    assert.deepEqual(ours[0].properties, expected);
    assert.deepEqual(ours.map((e) => e.key), Array(6).fill(partitionKey));
    assert.deepEqual(ours.slice(1).map((e) => e.body_base64 ?? e.body),
      ['{"nested":[1,"two",null]}', "42", "/wA=", "bytes", '""']);
    assertSamePlace(ours, theirs);
  });

  it("shows values and sequences that the SDK sends as such", async () => {
    const client = new EventHubProducerClient(text, "spread");
    const before = (await client.getPartitionProperties("1")).lastEnqueuedSequenceNumber + 1;
    await client.sendBatch([
      { bodyType: "value", body: { a: [1, true] } },
      { bodyType: "value", body: "text" },
      { bodyType: "sequence", body: [[1, "two"]] },
    ], { partitionId: "1" });
    await client.close();
    const ours = (await peek("spread", "1", before + 3)).slice(before);
    assert.deepEqual(ours.slice(0, 2).map((e) => e.body), [{ a: [1, true] }, "text"]);
    assert.deepEqual(ours[2].body.flat(2), [1, "two"]);
  });
});
