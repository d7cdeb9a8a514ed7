#!/usr/bin/env python3
"""The command line with bad input and bad servers: a clear error, the right exit code, in bounded time."""
import base64
import contextlib
import hashlib
import hmac
import json
import socket
import subprocess
import threading
import time
import urllib.parse

from harness import BUILD, check, keyed_lines, run, world

TIDEMARK = str(BUILD / "tools/tidemark/tidemark")
CANARY = "Q0FOQVJZLWtleS10aGF0LW11c3Qtbm90LWJlLXNob3du"


def call(*args, env=None, seconds=40, stdin=""):
    began = time.monotonic()
    out = subprocess.run([TIDEMARK, *map(str, args)], capture_output=True, text=True, timeout=seconds, input=stdin,
                         env={"PATH": "/usr/bin:/bin", "TIDEMARK_LOG_LEVEL": "none", **(env or {})})
    out.seconds = time.monotonic() - began
    out.all = out.stdout + out.stderr
    check(CANARY not in out.all, f"a secret is shown: {out.all}")
    return out


def connection(port, key=CANARY, name="canary", hub=None, emulator=True):
    return (f"Endpoint=sb://localhost:{port};SharedAccessKeyName={name};SharedAccessKey={key}"
            + (f";EntityPath={hub}" if hub else "") + (";UseDevelopmentEmulator=true" if emulator else ""))


def expect(out, code, *words):
    check(out.returncode == code, f"exit code {out.returncode}, not {code}: {out.all}")
    for word in words:
        check(word.lower() in out.all.lower(), f"'{word}' is not said: {out.all}")


@contextlib.contextmanager
def server(behave):
    """A TCP server on a free port that treats each connection as told."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen(8)
        conns = []

        def loop():
            while True:
                try:
                    conn, _ = s.accept()
                except OSError:
                    return
                conns.append(conn)
                threading.Thread(target=behave, args=(conn,), daemon=True).start()

        threading.Thread(target=loop, daemon=True).start()
        yield s.getsockname()[1]
        s.shutdown(socket.SHUT_RDWR)
        for c in conns:
            c.close()


def usage_errors_name_the_option():
    expect(call(), 2)
    expect(call("nonsense"), 2, "there is no command 'nonsense'")
    expect(call("send", "--nonsense"), 2, "there is no option --nonsense")
    expect(call("send", "--count", "many"), 2, "--count takes a whole number, not 'many'")
    expect(call("send", "--count", "-3"), 2, "--count must be between")
    expect(call("send", "--rate", "fast"), 2, "--rate takes a rate")
    expect(call("peek", "--wait", "10"), 2, "--wait takes a duration")
    expect(call("peek", "--transport", "pigeon"), 2, "--transport takes one of amqp|websocket")
    expect(call("peek", "--partition"), 2, "--partition needs a value")
    expect(call("peek", "--start", "yesterday", "--connection-string", connection(1), "--hub", "t"), 2, "--start")
    expect(call("send", "--key", "a", "--partition", "0"), 2, "exclude each other")
    expect(call("peek", env={"TIDEMARK_TRANSPORT": "pigeon"}), 2, "TIDEMARK_TRANSPORT takes one of")
    expect(call("peek"), 2, "EVENTHUB_CONNECTION_STRING")
    for store in ("memory", "file:/tmp/none"):
        expect(call("consume", "--connection-string", connection(1), "--hub", "t", "--store", store, "--claims", "shared"), 2,
               "--claims shared", "--store blob:CONTAINER")


def every_command_has_help():
    for command in ("send", "consume", "peek", "status", "checkpoint", "doctor", "hub", "size"):
        expect(call(command, "--help"), 0, "usage: tidemark " + command)
    expect(call("--help"), 0, "consume")
    expect(call("--version"), 0, "tidemark 0.")


def malformed_connection_strings_say_what_is_wrong():
    good = connection(5672, hub="t", emulator=False)
    for broken, word in ((good.replace("Endpoint=", "Endpont="), "Endpoint"),
                         (good.replace("SharedAccessKeyName=canary;", ""), "SharedAccessKeyName"),
                         (good.replace(f"SharedAccessKey={CANARY};", ""), "SharedAccessKey"),
                         (good.replace(";EntityPath=t", ""), "hub"),
                         ("nonsense", "="),
                         (good.replace("sb://localhost:5672", ""), "Endpoint")):
        expect(call("hub", "--connection-string", broken, "--timeout", "3s"), 2, word)
    expect(call("hub", "--connection-string", good, "--hub", "other", "--timeout", "3s"), 2, "EntityPath")


def wrong_names_and_keys_are_told_apart():
    with world(partitions=2) as w:
        right = w.env["EVENTHUB_CONNECTION_STRING"]
        port = w.ready["amqp"].rpartition(":")[2]
        expect(call("hub", "--connection-string", connection(port), "--hub", "t", "--timeout", "20s"), 1, "key")
        expect(call("peek", "--connection-string", right, "--hub", "nope"), 1, "could not be found", "--hub")
        expect(call("peek", "--connection-string", right, "--hub", "t", "--group", "nope"), 1, "could not be found")
        expect(call("peek", "--connection-string", right, "--hub", "t", "--partition", "99"), 1, "between 0 and 1")
        expect(call("send", "--connection-string", right, "--hub", "nope", "--timeout", "10s", stdin="x\n"), 1,
               "could not be found")


def an_expired_signature_is_named():
    with world(partitions=1) as w:
        parts = dict(p.split("=", 1) for p in w.env["EVENTHUB_CONNECTION_STRING"].split(";") if "=" in p)
        resource = urllib.parse.quote("sb://localhost/t", safe="")
        expiry = str(int(time.time()) - 60)
        signature = base64.b64encode(hmac.new(parts["SharedAccessKey"].encode(), f"{resource}\n{expiry}".encode(),
                                              hashlib.sha256).digest()).decode()
        token = (f"SharedAccessSignature sr={resource}&sig={urllib.parse.quote(signature, safe='')}&se={expiry}"
                 f"&skn={parts['SharedAccessKeyName']}")
        out = call("hub", "--connection-string",
                   f"Endpoint={parts['Endpoint']};SharedAccessSignature={token};EntityPath=t;UseDevelopmentEmulator=true",
                   "--timeout", "20s")
        expect(out, 1, "has ended")
        check(signature not in out.all and urllib.parse.quote(signature, safe="") not in out.all, "a signature is shown")


def a_closed_port_a_silent_and_a_garbage_server_end_in_bounded_time():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        closed = s.getsockname()[1]
    out = call("hub", "--connection-string", connection(closed), "--hub", "t", "--timeout", "2s")
    expect(out, 1)
    check(out.seconds < 8, f"took {out.seconds:.1f} s")
    for name, behave, word in (("silent", lambda c: c.recv(1), "no answer"),
                               ("garbage", lambda c: c.sendall(bytes(range(256)) * 64), "does not speak AMQP"),
                               ("http", lambda c: c.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n"), "does not speak AMQP"),
                               ("half a header", lambda c: (c.sendall(b"AMQP\x03"), c.recv(1)), "no answer"),
                               ("closes", lambda c: c.close(), "")):
        with server(behave) as port:
            out = call("hub", "--connection-string", connection(port), "--hub", "t", "--timeout", "2s")
            expect(out, 1, word)
            check(out.seconds < 8, f"{name}: took {out.seconds:.1f} s")
            print(f"# {name}: {out.stderr.strip()[:150]}")


def bad_certificates_are_refused():
    with world(partitions=1) as w:
        key, cert = w.dir / "key.pem", w.dir / "cert.pem"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", cert, "-days",
                        "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"], check=True,
                       capture_output=True)
        hub = w.spawn([BUILD / "tools/hub/tidemark-hub", "--listen", "127.0.0.1:0", "--hub", "t:1", "--tls-cert", cert,
                       "--tls-key", key], stdout=subprocess.PIPE, text=True)
        ready = json.loads(hub.stdout.readline())
        text = ready["connection_string"].replace(";UseDevelopmentEmulator=true", "")
        port = ready.get("tls", ready["amqp"]).rpartition(":")[2]
        text = ";".join(f"Endpoint=sb://localhost:{port}" if p.startswith("Endpoint=") else p for p in text.split(";"))
        out = call("hub", "--connection-string", text, "--hub", "t", "--timeout", "2s")
        expect(out, 1, "certificate")
        out = call("hub", "--connection-string", text, "--hub", "t", "--timeout", "20s", "--tls-ca", cert)
        expect(out, 0, "hub t")
        wrong = text.replace("sb://localhost", "sb://127.0.0.1")
        expect(call("hub", "--connection-string", wrong, "--hub", "t", "--timeout", "5s", "--tls-ca", cert), 1,
               "certificate")


def size_reproduces_the_published_table():
    for mb, groups, need, provision in ((1, 1, 1, 2), (1, 3, 2, 3), (5, 2, 5, 6), (5, 4, 10, 12), (10, 3, 15, 18),
                                        (20, 4, 40, 48), (2, 4, 4, 5)):
        out = json.loads(call("size", "--bytes", f"{mb}MB", "--groups", groups, "--json").stdout)
        check((out["need"], out["provision"]) == (need, provision), (mb, groups, out))
    out = json.loads(call("size", "--events", "24000/s", "--event-size", "300", "--groups", 2, "--json").stdout)
    check((out["need"], out["provision"], out["decides"]) == (24, 29, "events in"), out)


def checkpoints_are_listed_set_exported_imported_and_deleted():
    with world(partitions=2) as w:
        lines, _ = keyed_lines(10, 10)
        w.send_lines(lines, "--key-separator", "|")
        last = w.last()
        check(w.tidemark("checkpoint", "set", "--partition", "all", "--to", "latest").returncode == 0, "a dry run")
        listed = [json.loads(l) for l in w.tidemark("checkpoint", "list", "--json").stdout.splitlines()]
        check(all(r["sequence"] is None for r in listed), "a dry run changed something")
        undo = w.dir / "undo"
        out = w.tidemark("checkpoint", "set", "--partition", "all", "--to", "latest", "--execute", "--undo", undo)
        check(out.returncode == 0 and undo.exists(), out.stderr)
        exported = w.tidemark("checkpoint", "export").stdout
        records = {r["partition"]: r for r in map(json.loads, exported.splitlines())}
        check({p: r["sequence"] for p, r in records.items()} == last, exported)
        check(all(r["offset"] for r in records.values()), exported)
        out = w.tidemark("checkpoint", "set", "--partition", "0", "--to", "sequence:3", "--execute", "--undo", w.dir / "u2")
        check(out.returncode == 0, out.stderr)
        out = w.tidemark("checkpoint", "import", "--execute", "--undo", w.dir / "u3", input=exported)
        check(out.returncode == 0, out.stderr)
        again = {r["partition"]: r["sequence"] for r in map(json.loads, w.tidemark("checkpoint", "export").stdout.splitlines())}
        check(again == last, again)
        worker = w.worker("a", "--start", "earliest", "--until-end")
        check(worker.process.wait(30) == 0 and worker.count() == 0, f"{worker.count()} events after 'latest'")
        owner = w.worker("b")
        w.all_owned(["b"])
        out = w.tidemark("checkpoint", "set", "--partition", "0", "--to", "earliest", "--execute", "--undo", w.dir / "u4")
        check(out.returncode == 1 and "owned by" in out.stderr, out.stderr)
        check(owner.stop() == 0, "the owner did not stop")
        out = w.tidemark("checkpoint", "delete", "--partition", "all", "--execute", "--undo", w.dir / "u5")
        check(out.returncode == 0, out.stderr)
        out = w.tidemark("status")
        check(out.returncode == 0 and "100 events behind" in out.stdout, out.stdout + out.stderr)
        check(w.tidemark("status", "--max-lag", "10").returncode == 1, "the alarm did not go off")


def status_does_not_read_what_an_owner_reads():
    with world(partitions=2) as w:
        w.worker("a", "--work", "1h", "--stop-deadline", "1s")
        w.all_owned(["a"])
        w.send_lines(["one\n"], "--partition", "0")
        w.send_lines(["one\n", "two\n", "three\n"], "--partition", "1")
        out = w.tidemark("status", "--json", "--log-level", "debug")
        one, three = json.loads(out.stdout)["partitions"]
        check(one["lag_events"] == 1 and one["lag_ms"] >= 0 and one["oldest_enqueued_ms"] > 0, one)
        check(three["lag_events"] == 3 and three["lag_ms"] is None, three)
        check("epoch" not in out.stderr and "link" not in out.stderr, out.stderr)


if __name__ == "__main__":
    run(usage_errors_name_the_option, every_command_has_help, malformed_connection_strings_say_what_is_wrong,
        wrong_names_and_keys_are_told_apart, an_expired_signature_is_named,
        a_closed_port_a_silent_and_a_garbage_server_end_in_bounded_time, bad_certificates_are_refused,
        size_reproduces_the_published_table, checkpoints_are_listed_set_exported_imported_and_deleted,
        status_does_not_read_what_an_owner_reads)
