"""A worker of the official Python SDK; the same lines as js_worker.mjs.
    python sdk_worker.py HUB CONTAINER OUTPUT STRATEGY INTERVAL_MS EXPIRY_MS JOURNAL"""
import json
import os
import signal
import sys
import threading
import time

from azure.eventhub import EventHubConsumerClient, LoadBalancingStrategy
from azure.eventhub.extensions.checkpointstoreblob import BlobCheckpointStore

hub, container, output, strategy, interval, expiry, journal = sys.argv[1:]
store = BlobCheckpointStore.from_connection_string(os.environ["AZURE_STORAGE_CONNECTION_STRING"], container)
client = EventHubConsumerClient.from_connection_string(
    os.environ["EVENTHUB_CONNECTION_STRING"], "$Default", eventhub_name=hub, checkpoint_store=store,
    load_balancing_strategy=LoadBalancingStrategy(strategy), load_balancing_interval=int(interval) / 1000,
    partition_ownership_expiration_interval=int(expiry) / 1000)
lock = threading.Lock()


def write(path, row):
    with lock, open(path, "a") as f:
        f.write(json.dumps(row) + "\n")


def on_batch(context, events):
    for event in events:
        write(output, {"partition": context.partition_id, "sequence": event.sequence_number, "body": event.body_as_str()})
    if events:
        context.update_checkpoint(events[-1])


def on_open(context):
    write(journal, {"t": time.time(), "ev": "open", "partition": context.partition_id})


def on_close(context, reason):
    write(journal, {"t": time.time(), "ev": "close", "partition": context.partition_id})


def on_error(context, error):
    print(context and context.partition_id, repr(error), file=sys.stderr, flush=True)


signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=client.close).start())
client.receive_batch(on_event_batch=on_batch, on_partition_initialize=on_open, on_partition_close=on_close,
                     on_error=on_error, starting_position="-1", max_wait_time=1)
