"""The official Python SDK's processor in the place of js_bench.mjs drain: the same lines.
    python sdk_bench.py CONTAINER PARTITIONS EVENTS WARM BATCH CHECKPOINT      BATCH 0: the SDK's default"""
import collections
import os
import sys
import threading
import time

from azure.eventhub import EventHubConsumerClient, LoadBalancingStrategy
from azure.eventhub.extensions.checkpointstoreblob import BlobCheckpointStore

name, (partitions, total, warm, batch, every) = sys.argv[1], map(int, sys.argv[2:])
store = BlobCheckpointStore.from_connection_string(os.environ["AZURE_STORAGE_CONNECTION_STRING"], name)
store._container_client.create_container()  # it brings a storage client of its own, and no public way to this
client = EventHubConsumerClient.from_connection_string(
    os.environ["EVENTHUB_CONNECTION_STRING"], "$Default", eventhub_name="hub", checkpoint_store=store,
    load_balancing_strategy=LoadBalancingStrategy.GREEDY, load_balancing_interval=1)
lock, since, brought = threading.Lock(), collections.Counter(), set()
handled = checkpoints = 0
begin = end = None


def tell(figure, value):
    print(f"{figure}\t{value}\t", flush=True)


def instant():
    return time.monotonic(), time.process_time()


def take(partition, count):
    """Whether a checkpoint is due."""
    global handled, begin, end
    before, handled = handled, handled + count
    if before == 0:
        tell("first", 1)
    brought.add(partition)
    if before <= warm < handled:
        begin = instant()
    if before < total <= handled:
        end = instant()
    since[partition] += count
    if since[partition] < every:
        return False
    since[partition] = 0
    return True


def on_batch(context, events):
    global checkpoints
    if not events or end:
        return
    with lock:
        due = take(context.partition_id, len(events))
        checkpoints += due
    if due:
        context.update_checkpoint(events[-1])
    if end:
        tell("events", total - warm)
        tell("warm", warm)
        tell("seconds", end[0] - begin[0])
        tell("cpu", end[1] - begin[1])
        tell("checkpoints", checkpoints)
        os._exit(0)


client.receive_batch(on_event_batch=on_batch, starting_position="-1", **({"max_batch_size": batch} if batch else {}),
                     on_error=lambda context, error: print(repr(error), file=sys.stderr, flush=True))
