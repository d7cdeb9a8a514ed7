"""The official Python SDK against tidemark-hub; run_sdk.py starts it and says where the hubs are. TAP."""
import datetime
import json
import os
import sys
import threading
import time
import traceback
import urllib.request

from azure.eventhub import EventData, EventHubConsumerClient, EventHubProducerClient, TransportType
from azure.eventhub.exceptions import ConnectError, EventDataSendError, EventHubError

PLAIN = os.environ["SDK_PLAIN"]
QUICK = {"retry_total": 6, "retry_backoff_factor": 0.05}


def fault(**what):
    request = urllib.request.Request(f"http://{os.environ['SDK_CONTROL']}/faults", json.dumps(what).encode())
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


def state():
    with urllib.request.urlopen(f"http://{os.environ['SDK_CONTROL']}/state", timeout=10) as answer:
        return json.load(answer)


def producer(text=PLAIN, **options):
    return EventHubProducerClient.from_connection_string(text, eventhub_name="hub", **{**QUICK, **options})


def consumer(text=PLAIN, **options):
    return EventHubConsumerClient.from_connection_string(text, "$Default", eventhub_name="hub", **{**QUICK, **options})


def receive(client, partition, count, start, inclusive=False, seconds=30, **options):
    """`count` events of a partition from a position on; raises what ends the reading before."""
    events, enough, failed = [], threading.Event(), []

    def on_event(_, event):
        if event is not None:
            events.append(event)
        if len(events) >= count:
            enough.set()

    def on_error(_, error):
        failed.append(error)
        if isinstance(error, (ConnectError, EventHubError)) and "stolen" not in str(error):
            enough.set()

    reader = threading.Thread(target=lambda: client.receive(
        on_event, partition_id=partition, starting_position=start, starting_position_inclusive=inclusive,
        on_error=on_error, max_wait_time=1, **options), daemon=True)
    reader.start()
    enough.wait(seconds)
    client.close()
    reader.join(10)
    if len(events) < count:
        raise failed[0] if failed else AssertionError(f"{len(events)} of {count} events")
    return events


def send(partition, bodies, **options):
    with producer(**options) as p:
        batch = p.create_batch(partition_id=partition)
        for body in bodies:
            batch.add(EventData(body))
        p.send_batch(batch)


def texts(events):
    return [e.body_as_str() for e in events]


def last(partition):
    with producer() as p:
        return p.get_partition_properties(partition)["last_enqueued_sequence_number"]


def round_trip(**options):
    number = str(time.monotonic_ns())
    before = None
    with producer(**options) as p:
        before = p.get_partition_properties("3")["last_enqueued_sequence_number"]
        assert p.get_eventhub_properties()["partition_ids"] == ["0", "1", "2", "3"]
    send("3", [number, "x" * 300000], **options)
    got = receive(consumer(**options), "3", 2, before)
    assert texts(got) == [number, "x" * 300000], "other bodies came back"


# ---- the tests ----

def properties_are_told():
    with producer() as p:
        hub = p.get_eventhub_properties()
        assert hub["eventhub_name"] == "hub" and hub["partition_ids"] == ["0", "1", "2", "3"], hub
        part = p.get_partition_properties("2")
        assert part["is_empty"] and part["last_enqueued_sequence_number"] == -1, part


def single_events_and_batches_go_by_id_and_by_key():
    before = {p: last(p) for p in "0123"}
    with producer() as p:
        p.send_event(EventData("keyed"), partition_key="device-0001")
        batch = p.create_batch(partition_key="device-0001")
        for i in range(10):
            batch.add(EventData(f"batch {i}"))
        p.send_batch(batch)
    grown = {p: last(p) - n for p, n in before.items()}
    assert sorted(grown.values()) == [0, 0, 0, 11], grown
    partition = max(grown, key=grown.get)
    got = receive(consumer(), partition, 11, before[partition])
    assert texts(got) == ["keyed"] + [f"batch {i}" for i in range(10)], texts(got)
    assert {e.partition_key for e in got} == {b"device-0001"}
    before = last("0")
    with producer() as p:
        p.send_event(EventData("single"), partition_id="0")
    send("0", ["one", "two"])
    assert texts(receive(consumer(), "0", 3, before)) == ["single", "one", "two"]


def an_event_keeps_its_properties():
    event = EventData(b"\x00\xff")
    event.properties = {"text": "\u00fc", "number": 7, "part": 1.5, "yes": True}
    event.content_type, event.correlation_id, event.message_id = "application/x-thing", "c-1", "m-1"
    before = last("2")
    with producer() as p:
        p.send_batch([event], partition_id="2")
    got = receive(consumer(), "2", 1, before)[0]
    assert b"".join(got.body) == b"\x00\xff"
    read = {k.decode(): v.decode() if isinstance(v, bytes) else v for k, v in got.properties.items()}
    assert read == {"text": "\u00fc", "number": 7, "part": 1.5, "yes": True}, read
    assert (got.content_type, got.correlation_id, got.message_id) == ("application/x-thing", "c-1", "m-1")
    assert got.sequence_number == before + 1 and got.offset is not None


def every_start_position_is_met():
    first = last("1") + 1
    send("1", [str(i) for i in range(5)])
    time.sleep(0.02)  # the clock must tick between the two
    send("1", [str(i) for i in range(5, 10)])
    all_events = receive(consumer(), "1", first + 10, "-1")[first:]
    assert texts(all_events) == [str(i) for i in range(10)]
    wanted = {"after a sequence number": (first + 6, False, "7"), "at a sequence number": (first + 6, True, "6"),
              "after an offset": (str(all_events[3].offset), False, "4"), "at an offset": (str(all_events[3].offset), True, "3"),
              "after a time": (all_events[4].enqueued_time + datetime.timedelta(milliseconds=1), False, "5")}
    for name, (position, inclusive, body) in wanted.items():
        got = texts(receive(consumer(), "1", 1, position, inclusive))
        assert got[0] == body, (name, got)
    readers = len(state()["hubs"][0]["partitions"][1]["readers"])
    result = []
    client = consumer()
    thread = threading.Thread(target=lambda: result.extend(receive(client, "1", 1, "@latest")), daemon=True)
    thread.start()
    while len(state()["hubs"][0]["partitions"][1]["readers"]) <= readers:
        pass
    send("1", ["next"])
    thread.join(30)
    assert texts(result) == ["next"], texts(result)


def a_higher_owner_level_takes_a_partition_over():
    if last("0") < 0:
        send("0", ["one"])
    low, taken, reading = consumer(), threading.Event(), threading.Event()

    def on_error(_, error):
        if "receiver" in str(error).lower() or "epoch" in str(error).lower() or "stolen" in str(error).lower():
            taken.set()

    thread = threading.Thread(target=lambda: low.receive(
        lambda *_: reading.set(), partition_id="0", starting_position="-1", owner_level=1, on_error=on_error,
        max_wait_time=1), daemon=True)
    thread.start()
    assert reading.wait(20), "the first reader did not start"
    assert receive(consumer(), "0", 1, "-1", owner_level=2)
    assert taken.wait(20), "the first reader was not told"
    low.close()
    thread.join(10)


def dropped_connections_are_survived():
    before = last("2")
    client, events, half, full = consumer(), [], threading.Event(), threading.Event()

    def on_event(_, event):
        if event is not None:
            events.append(event.body_as_str())
        if len(events) >= 10:
            half.set()
        if len(events) >= 20:
            full.set()

    thread = threading.Thread(target=lambda: client.receive(
        on_event, partition_id="2", starting_position=before, on_error=lambda *_: None, max_wait_time=1), daemon=True)
    thread.start()
    send("2", [str(i) for i in range(10)])
    assert half.wait(20), events
    assert fault(fault="drop_connections")["met"] >= 1
    send("2", [str(i) for i in range(10, 20)])
    assert full.wait(40), events
    assert events == [str(i) for i in range(20)], events
    client.close()
    thread.join(10)


def a_throttled_send_is_told():
    """This SDK does not try a rejected event again by itself."""
    fault(fault="reject_sends", condition="com.microsoft:server-busy", count=1)
    try:
        send("3", ["busy"])
    except EventDataSendError as e:
        assert "50002" in str(e), e
    else:
        raise AssertionError("the send was not rejected")
    before = last("3")
    send("3", ["again"])
    assert texts(receive(consumer(), "3", 1, before)) == ["again"]


def tls_carries_the_same():
    round_trip(text=os.environ["SDK_TLS"], connection_verify=os.environ["SDK_CA"], transport_type=TransportType.Amqp,
               custom_endpoint_address=f"sb://localhost:{os.environ['SDK_PORT']}")


def websocket_in_tls_carries_the_same():
    port = os.environ["SDK_WSS"].rpartition(":")[2]
    round_trip(text=os.environ["SDK_TLS"], connection_verify=os.environ["SDK_CA"],
               transport_type=TransportType.AmqpOverWebsocket, custom_endpoint_address=f"sb://localhost:{port}")


TESTS = [properties_are_told, single_events_and_batches_go_by_id_and_by_key, an_event_keeps_its_properties,
         every_start_position_is_met, a_higher_owner_level_takes_a_partition_over, dropped_connections_are_survived,
         a_throttled_send_is_told, tls_carries_the_same, websocket_in_tls_carries_the_same]

print(f"1..{len(TESTS)}")
failures = 0
for number, test in enumerate(TESTS, 1):
    began = time.monotonic()
    try:
        test()
        print(f"ok {number} - {test.__name__}")
    except Exception:  # any failure is reported as one
        failures += 1
        print("".join(f"# {line}\n" for line in traceback.format_exc().splitlines()), end="")
        print(f"not ok {number} - {test.__name__}")
    print(f"# {time.monotonic() - began:.1f} s", flush=True)
sys.stdout.flush()
os._exit(1 if failures else 0)  # the SDK may leave threads behind
