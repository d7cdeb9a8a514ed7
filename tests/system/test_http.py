#!/usr/bin/env python3
"""consume --http: metrics, health with reasons, status; hostile clients are bounded and others are served."""
import os
import socket
import time

from harness import check, keyed_lines, run, wait_for, world
from http_worker import address_of, failed_checks, fetch, status
from test_metrics import COMMON, agree, clean, documented


def place(address):
    host, _, port = address.rpartition(":")
    return host, int(port)


def connect(address, source="127.0.0.1"):
    s = socket.create_connection(place(address), timeout=5, source_address=(source, 0))
    s.settimeout(15)
    return s


def read_all(s):
    data = b""
    try:
        while chunk := s.recv(65536):
            data += chunk
    except (ConnectionResetError, TimeoutError):
        pass
    return data


def rss(process):
    return int(next(l for l in open(f"/proc/{process.pid}/status") if l.startswith("VmRSS")).split()[1]) * 1024


def metrics_status_and_health_tell_what_is_so():
    with world(partitions=3) as w:
        lines, _ = keyed_lines(10, 30)
        w.send_lines(lines, "--key-separator", "|")
        a = w.worker("a", "--http", "127.0.0.1:0", "--retention", "1h", "--checkpoint-events", "50")
        address = address_of(a)
        wait_for("all to be handled", lambda: a.count() == 300)
        s = wait_for("the status to say so", lambda: (s := status(address)) and s["totals"]["events"] == 300
                     and all(p["lag_events"] == 0 for p in s["partitions"]) and s)
        check({p["partition"]: p["final"] for p in s["partitions"]} == w.last(), s)
        check(s["ready"] and s["totals"]["owned"] == 3 and s["hub"] == "t" and s["retention_ms"] == 3600000, s)
        check(all(p["progress"] == "ok" and p["own"] and p["to_loss_ms"] == 3600000 for p in s["partitions"]), s)
        check(any(r["event"] == "partition.opened" for r in s["recent"]), s["recent"])
        code, text, headers = fetch(address, "/metrics")
        check(code == 200 and headers["Content-Type"].startswith("text/plain; version=0.0.4"), headers)
        families = clean(text, "consume")
        agree(families, documented("Metrics of a processor"), COMMON)
        consumed = families["messaging_client_consumed_messages_total"].series
        check(sum(consumed.values()) == 300, consumed)
        check(families["messaging_process_duration_seconds"].series[
            next(k for k in families["messaging_process_duration_seconds"].series if k[0].endswith("_count"))] == 300, text)
        for path in ("/healthz", "/livez", "/readyz", "/startupz"):
            check(failed_checks(address, path) == {}, f"{path}: {failed_checks(address, path)}")
        code, page, headers = fetch(address, "/")
        check(code == 200 and "<title>Tidemark</title>" in page and "default-src 'none'" in
              headers["Content-Security-Policy"], headers)
        check("//" not in page.replace("http://www.w3.org/2000/svg", "").replace(" // ", "").split("<script>")[0],
              "the page refers to something outside")
        check(fetch(address, "/", method="HEAD")[:2] == (200, ""), "HEAD")
        check(fetch(address, "/nothing")[0] == 404 and fetch(address, "/../etc/passwd")[0] == 404, "404")
        check(a.stop() == 0, "did not stop")


def a_handler_that_hangs_fails_the_liveness_and_a_stop_the_readiness():
    with world(partitions=1) as w:
        w.send_lines(["one\n"])
        a = w.worker("a", "--http", "127.0.0.1:0", "--work", "8s", "--handler-limit", "1500ms", "--stop-deadline", "20s")
        address = address_of(a)
        wait_for("the event to be handed out", lambda: a.count() == 1)
        check(failed_checks(address, "/healthz") == {}, "not alive from the start")
        reason = wait_for("the liveness to fail", lambda: failed_checks(address, "/healthz").get("handlers"))
        check("limit is 1.5 s" in reason, reason)
        check(failed_checks(address, "/readyz") == {}, "not ready either")
        a.process.terminate()
        reason = wait_for("the readiness to fail", lambda: failed_checks(address, "/readyz").get("stopping"))
        check("stop has begun" in reason, reason)
        check(a.process.wait(30) == 0, "the stop has failed")


def alarms_are_said_once_when_they_come_and_when_they_go():
    with world(partitions=1) as w:
        w.send_lines([f"{i}\n" for i in range(100)])
        a = w.worker("a", "--http", "127.0.0.1:0", "--work", "100ms", "--max-lag", "20")
        address = address_of(a)
        wait_for("the alarm", lambda: (s := status(address)) and s["partitions"] and
                 s["partitions"][0]["alarms"] == ["lag_events"])
        wait_for("the end of the alarm", lambda: (s := status(address)) and s["partitions"] and
                 s["partitions"][0]["alarms"] == [] and s["partitions"][0]["lag_events"] == 0)
        lines = [l for l in a.log.read_text().splitlines() if "partition.alarm" in l]
        check(len(lines) == 2 and "lag_events=on" in lines[0] and "lag_events=off" in lines[1], lines)


def hostile_clients_are_bounded_and_others_are_served():
    with world(partitions=1) as w:
        a = w.worker("a", "--http", "127.0.0.1:0")
        address = address_of(a)
        wait_for("readiness", lambda: failed_checks(address, "/readyz") == {})
        before, files = rss(a.process), len(os.listdir(f"/proc/{a.process.pid}/fd"))
        for request, wanted in ((b"POST /status HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nabcd", b" 405 "),
                                (b"DELETE / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", b" 405 "),
                                (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999\r\n\r\n" + b"x" * 9999, b" 405 "),
                                (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: " + b"y" * 4000000 + b"\r\n\r\n", None),
                                (b"GET /" + b"a" * 1000000 + b" HTTP/1.1\r\n\r\n", None),
                                (bytes(range(256)) * 200, None), (b"\r\n" * 100000, None), (b"GET", None)):
            with connect(address) as s:
                try:
                    s.sendall(request)
                    s.shutdown(socket.SHUT_WR)
                except OSError:
                    pass  # it has been shown the door already
                answer = read_all(s)
            check(b" 200 " not in answer.split(b"\r\n")[0], answer[:200])
            check(wanted is None or wanted in answer.split(b"\r\n")[0], answer[:200])
            check(fetch(address, "/healthz")[0] == 200, "not served")
        crowd = [connect(address, "127.0.0.2") for _ in range(300)]
        for i, s in enumerate(crowd):
            try:
                s.sendall(b"GET / HTTP/1.1\r\nX-Slow: " + b"z" * (i * 10))
            except OSError:
                pass
        began = time.monotonic()
        check(fetch(address, "/healthz")[0] == 200 and fetch(address, "/metrics")[0] == 200, "not served in the crowd")
        check(time.monotonic() - began < 2, "served late in the crowd")
        grown = rss(a.process) - before
        check(grown < 16 << 20, f"{grown} bytes more memory")
        for s in crowd:
            s.close()
        wait_for("the files to be closed", lambda: len(os.listdir(f"/proc/{a.process.pid}/fd")) <= files + 2)
        check(a.stop() == 0, "did not stop")


def wrong_addresses_are_told():
    with world(partitions=1) as w:
        for address, word in (("nonsense", "ADDR:PORT"), ("::1:80", "ADDR:PORT"), ("127.0.0.1:", "ADDR:PORT"),
                              ("127.0.0.1:http-no", "--http"), ("192.0.2.1:0", "cannot listen")):
            out = w.tidemark("consume", "--http", address, timeout=20)
            check(out.returncode != 0 and word in out.stderr, f"{address}: {out.returncode} {out.stderr}")
        taken = socket.create_server(("127.0.0.1", 0))
        out = w.tidemark("consume", "--http", f"127.0.0.1:{taken.getsockname()[1]}", timeout=20)
        check(out.returncode == 1 and "in use" in out.stderr, out.stderr)
        out = w.tidemark("consume", "--http", "127.0.0.1:0", "--min-time-to-loss", "1h", timeout=20)
        check(out.returncode == 2 and "--retention" in out.stderr, out.stderr)


if __name__ == "__main__":
    run(metrics_status_and_health_tell_what_is_so, a_handler_that_hangs_fails_the_liveness_and_a_stop_the_readiness,
        alarms_are_said_once_when_they_come_and_when_they_go, hostile_clients_are_bounded_and_others_are_served,
        wrong_addresses_are_told)
