#!/usr/bin/env python3
"""The store goes away under load: work goes on, checkpoints catch up, nothing is lost. TIDEMARK_OUTAGE: seconds."""
import contextlib
import http.client
import http.server
import os
import threading
import time
import urllib.parse

from harness import azurite, check, keyed_lines, run, wait_for, world

OUTAGE = int(os.environ.get("TIDEMARK_OUTAGE", "25"))  # longer than the lease of an instance, 20 s
RATE = 300
ARGS = ("--create-container", "--checkpoint-interval", "500ms", "--order", "key", "--threads", "4")


@contextlib.contextmanager
def gate(connection_string):
    """Stands before Azurite; while busy it answers every request with 503 itself."""
    parts = dict(p.split("=", 1) for p in connection_string.split(";") if "=" in p)
    place = urllib.parse.urlparse(parts["BlobEndpoint"])

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *args):
            pass

        def pass_on(self):
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if server.busy:
                server.refused += 1
                self.answer(503, {"x-ms-error-code": "ServerBusy", "Retry-After": "1"}, b"")
                return
            c = http.client.HTTPConnection(place.hostname, place.port, timeout=20)
            c.request(self.command, self.path, body, dict(self.headers))
            got = c.getresponse()
            data = got.read()
            self.answer(got.status, dict(got.getheaders()), data)
            c.close()

        def answer(self, code, headers, data):
            self.send_response_only(code)
            for name, value in headers.items():
                if name.lower() not in ("content-length", "transfer-encoding", "connection", "keep-alive"):
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)

        do_GET = do_PUT = do_HEAD = do_DELETE = pass_on

    class Server(http.server.ThreadingHTTPServer):
        daemon_threads, busy, refused = True, False, 0

        def handle_error(self, request, client_address):
            pass

    with Server(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        server.text = connection_string.replace(f":{place.port}/", f":{server.server_address[1]}/")
        yield server
        server.shutdown()


class Stopped:
    """Azurite is killed, and started again on its port and its files."""

    def __init__(self, w):
        self.w = w
        self.port = urllib.parse.urlparse(w.env["AZURE_STORAGE_CONNECTION_STRING"].split("BlobEndpoint=")[1]).port

    def begin(self):
        self.w.azurite.terminate()  # it writes its files
        self.w.azurite.wait()

    def end(self):
        self.w.azurite, text = azurite.start(port=self.port, folder=self.w.dir / "blobs")
        check(text, "Azurite did not start again")
        self.w.processes.append(self.w.azurite)


class Busy:
    def __init__(self, server):
        self.server = server

    def begin(self):
        self.server.busy = True

    def end(self):
        check(self.server.refused > 0, "nobody asked while the store was busy")
        self.server.busy = False


def go_through(w, outage, *args):
    """Load, outage, end; gives the counts of handled events at the outage's begin, its last third and its end."""
    keys, each = 50, RATE * (OUTAGE + 20) // 50
    lines, sent = keyed_lines(keys, each)
    a = w.worker("a", *ARGS, *args)
    w.all_owned(["a"])
    sender = w.sender(lines, "--key-separator", "|", "--rate", f"{RATE}/s")
    wait_for("work to begin", lambda: a.count() > 3 * RATE)
    wait_for("checkpoints", lambda: len(a.of("checkpoint")) > 4)
    outage.begin()
    began, counts = time.monotonic(), [a.count()]
    for share in (2 / 3, 1):
        wait_for("the outage to last", lambda: time.monotonic() > began + share * OUTAGE, OUTAGE + 60)
        counts.append(a.count())
    check(a.alive(), a.log.read_text())
    outage.end()
    check(sender.wait(OUTAGE + 60) == 0, "the sender failed")
    wait_for("the end of the stream", w.caught_up, 90)
    wait_for("checkpoints to catch up", lambda: w.checkpoints() == w.last(), 90)
    check(a.stop() == 0, a.log.read_text())
    verdict = w.judged(sent)
    print("#", OUTAGE, "s away; handled at its begin, at two thirds, at its end:", counts, verdict)
    check(verdict["lost"] == 0 and verdict["out_of_order"] == 0 and verdict["repeated"] == 0, verdict)
    check(w.checkpoints() == w.last(), f"checkpoints {w.checkpoints()}, the hub {w.last()}")
    return counts


def stopped_world(w):
    w.start_azurite(folder=w.dir / "blobs")
    return Stopped(w)


def a_store_that_is_stopped_is_ridden_through():
    with world(partitions=4) as w:
        counts = go_through(w, stopped_world(w))
        check(counts[2] - counts[1] > RATE * OUTAGE / 3 / 2, f"work did not go on to the end: {counts}")


def a_store_that_is_busy_is_ridden_through():
    with world(partitions=4, blobs=True) as w, gate(w.env["AZURE_STORAGE_CONNECTION_STRING"]) as g:
        w.env["AZURE_STORAGE_CONNECTION_STRING"] = g.text
        counts = go_through(w, Busy(g))
        check(counts[2] - counts[1] > RATE * OUTAGE / 3 / 2, f"work did not go on to the end: {counts}")


def without_riding_through_it_stops_and_resumes():
    with world(partitions=4) as w:
        counts = go_through(w, stopped_world(w), "--ride-through", "1")
        check(counts[2] == counts[1], f"work went on beyond the bound: {counts}")
        check(counts[1] - counts[0] < RATE * 10, f"work went on for long: {counts}")


if __name__ == "__main__":
    run(a_store_that_is_stopped_is_ridden_through, a_store_that_is_busy_is_ridden_through,
        without_riding_through_it_stops_and_resumes)
