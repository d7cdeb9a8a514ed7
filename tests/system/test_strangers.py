#!/usr/bin/env python3
"""Servers that are not Event Hubs, on plain and TLS ports: each a clear error in bounded time; and the look of a terminal."""
import contextlib
import os
import pty
import random
import re
import select
import socket
import ssl
import struct
import subprocess
import tempfile
import time

from harness import BUILD, check, run, world
from test_cli import call, connection, expect, server

TIDEMARK = str(BUILD / "tools/tidemark/tidemark")
SASL = b"AMQP\x03\x01\x00\x00"
MECHANISMS = struct.pack(">I", 8 + len(b"\x00\x53\x40\xc0\x0c\x01\xa3\x09ANONYMOUS")) + b"\x02\x01\x00\x00" \
    + b"\x00\x53\x40\xc0\x0c\x01\xa3\x09ANONYMOUS"
OUTCOME = struct.pack(">I", 8 + 8) + b"\x02\x01\x00\x00" + b"\x00\x53\x44\xc0\x03\x01\x50\x00"


def says(part):
    def behave(c):
        with contextlib.suppress(OSError):
            c.sendall(part)
            while c.recv(4096):
                pass
    return behave


def sasl_then(part=b""):
    """A good beginning, in its order, and then something else."""
    def behave(c):
        with contextlib.suppress(OSError):
            c.sendall(SASL + MECHANISMS)
            heard = b""
            while b"ANONYMOUS" not in heard:
                more = c.recv(4096)
                if not more:
                    return
                heard += more
            says(OUTCOME + part)(c)
    return behave


RANDOM = random.Random(1).randbytes(65536)
# name, what it does, what the error must say
PLAIN = (("silence", lambda c: c.recv(1), "no answer"),
         ("random bytes", says(RANDOM), "does not speak AMQP"),
         ("an HTTP answer", says(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"), "does not speak AMQP"),
         ("an SSH banner", says(b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n"), "does not speak AMQP"),
         ("a TLS alert", says(bytes.fromhex("15030100020228")), "AMQP"),
         ("Kafka", says(struct.pack(">iihh", 10, 0, 0, 0)), "does not speak AMQP"),
         ("half a header", says(b"AMQP\x03"), "no answer"),
         ("another version", says(b"AMQP\x03\x00\x09\x01"), "AMQP"),
         ("an old AMQP", says(b"AMQP\x00\x00\x09\x01"), "AMQP"),
         ("SASL without a mechanism of ours", says(SASL + MECHANISMS.replace(b"ANONYMOUS", b"KERBEROS5")), "Authentication failed"),
         ("SASL, then silence", sasl_then(), "no answer"),
         ("SASL, then random bytes", sasl_then(b"AMQP\x00\x01\x00\x00" + RANDOM), "a frame of"),
         ("SASL, then a frame of 2 GB", sasl_then(b"AMQP\x00\x01\x00\x00" + b"\x7f\xff\xff\xff\x02\x00\x00\x00"), "2147483647 bytes"),
         ("SASL, then HTTP", sasl_then(b"HTTP/1.1 200 OK\r\n\r\n"), "does not speak AMQP"),
         ("an end at once", lambda c: c.close(), "connection"))


def strangers_on_the_plain_port_are_told():
    for name, behave, word in PLAIN:
        with server(behave) as port:
            out = call("hub", "--connection-string", connection(port), "--hub", "t", "--timeout", "1s")
        expect(out, 1, word)
        check(len(out.stderr.strip()) > 20 and out.seconds < 10, f"{name}: {out.seconds:.1f} s: {out.all}")
        print(f"# {name}: {out.stderr.strip()[:140]}")


def strangers_on_the_tls_port_are_told():
    for name, behave, word in (("silence", lambda c: c.recv(1), ""), ("plain AMQP", says(SASL), "TLS"),
                               ("HTTP", says(b"HTTP/1.1 400 Bad Request\r\n\r\n"), "TLS"), ("random bytes", says(RANDOM), "TLS"),
                               ("an end at once", lambda c: c.close(), "")):
        for transport in ("amqp", "websocket"):
            with server(behave) as port:
                out = call("hub", "--connection-string", connection(port, emulator=False), "--hub", "t", "--timeout", "1s",
                           "--transport", transport, "--endpoint", f"localhost:{port}")
            expect(out, 1, word)
            check(len(out.stderr.strip()) > 20 and out.seconds < 10, f"{name}: {out.seconds:.1f} s: {out.all}")
            print(f"# {transport}, {name}: {out.stderr.strip()[:140]}")


def strangers_behind_tls_are_told():
    """A web server with a good certificate, asked for AMQP and for a WebSocket."""
    with tempfile.TemporaryDirectory() as temp:
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout",
                        f"{temp}/key", "-out", f"{temp}/cert", "-days", "2", "-subj", "/CN=localhost", "-addext",
                        "subjectAltName=DNS:localhost"], check=True, capture_output=True)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(f"{temp}/cert", f"{temp}/key")

        def web(c):
            try:
                with context.wrap_socket(c, server_side=True) as t:
                    t.recv(4096)
                    t.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            except (OSError, ssl.SSLError):
                pass

        for transport, word in (("amqp", "does not speak AMQP"), ("websocket", "404")):
            with server(web) as port:
                out = call("hub", "--connection-string", connection(port, emulator=False), "--hub", "t", "--timeout", "1s",
                           "--transport", transport, "--endpoint", f"localhost:{port}", "--tls-ca", f"{temp}/cert")
            expect(out, 1, word)
            check(out.seconds < 10, f"{out.seconds:.1f} s")


def closed_ports_and_unknown_hosts_are_told():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        closed = s.getsockname()[1]
    for transport in ("amqp", "websocket"):
        out = call("hub", "--connection-string", connection(closed), "--hub", "t", "--timeout", "1s", "--transport", transport,
                   "--endpoint", f"localhost:{closed}")
        expect(out, 1, "connect", str(closed))
    text = connection(5671, emulator=False).replace("localhost", "does-not-exist.invalid")
    expect(call("hub", "--connection-string", text, "--hub", "t", "--timeout", "1s"), 1, "does-not-exist.invalid")


# ---- a terminal ----

def on_terminal(w, *args, stdin=None, seconds=60):
    """What a command writes to standard error when that is a terminal, and its exit code."""
    master, slave = pty.openpty()
    child = subprocess.Popen([TIDEMARK, *args], stdin=stdin or subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=slave,
                             env={**w.env, "TIDEMARK_LOG_LEVEL": "none"})
    w.processes.append(child)
    os.close(slave)
    seen, end = b"", time.monotonic() + seconds
    while time.monotonic() < end:
        if select.select([master], [], [], 0.2)[0]:
            try:
                part = os.read(master, 65536)
            except OSError:  # the other side is closed
                break
            if not part:
                break
            seen += part
    out = child.communicate(timeout=10)[0].decode()
    os.close(master)
    return child.returncode, out, seen.decode()


def send_draws_a_bar_on_a_terminal_and_only_there():
    with world(partitions=2) as w:
        code, out, seen = on_terminal(w, "send", "--hub", "t", "--count", "2000", "--rate", "2500/s")
        check(code == 0 and out.startswith("2000 events acknowledged"), (code, out, seen))
        frames = [f for f in seen.split("\r") if f.strip()]
        check(len(frames) >= 3, seen)  # it moves
        counts = []
        for f in frames:
            m = re.fullmatch(r"\[(#*)(\.*)\] +(\d+)%  (\d+) of 2000 acknowledged, \d+/s *\n?", f)
            check(m is not None, f"not a bar: {f!r}")
            check(len(m[1]) + len(m[2]) == 30 and len(m[1]) == 30 * int(m[4]) // 2000, f)
            check(int(m[3]) == 100 * int(m[4]) // 2000, f)
            counts.append(int(m[4]))
        check(counts == sorted(counts) and counts[-1] == 2000 and counts[0] < 2000, counts)
        check(max(map(len, frames)) < 80, "wider than a terminal")
        quiet = w.tidemark("send", "--hub", "t", "--count", "10")
        check(quiet.returncode == 0 and quiet.stderr == "", quiet.stderr)
        code, out, seen = on_terminal(w, "send", "--hub", "t", "--count", "10", "--json")
        check(code == 0 and seen == "" and '"acknowledged":10' in out, (out, seen))


def send_counts_on_a_terminal_when_the_end_is_not_known():
    with world(partitions=2) as w:
        read, write = os.pipe()
        os.write(write, b"a\nb\nc\n")
        os.close(write)
        code, out, seen = on_terminal(w, "send", "--hub", "t", stdin=read)
        os.close(read)
        check(code == 0 and out.startswith("3 events acknowledged"), (code, out))
        check(re.search(r"\r3 of 3 acknowledged, \d+/s", seen), seen)


def errors_on_a_terminal_are_one_line_and_the_exit_code_tells():
    with world(partitions=2) as w:
        for args in (("hub", "--hub", "nope", "--timeout", "10s"), ("peek", "--hub", "nope"), ("send", "--hub", "nope", "--count", "1")):
            code, out, seen = on_terminal(w, *args)
            check(code == 1 and not out.strip().startswith("{"), (args, code, out))
            lines = [l for l in seen.replace("\r", "\n").splitlines() if l.startswith("tidemark: ")]
            check(len(lines) == 1 and "could not be found" in lines[0], (args, seen))
        code, out, seen = on_terminal(w, "peek", "--bad-option")
        check(code == 2 and seen.strip() == "tidemark: there is no option --bad-option; --help lists them", seen)
        code, out, seen = on_terminal(w, "peek", "--hub", "t", "--wait", "100ms")
        check(code == 0 and out == "" and seen == "", (out, seen))


def help_lists_every_option_that_is_promised():
    common = ("connection-string", "namespace", "credential", "hub", "transport", "endpoint", "proxy", "tls-ca")
    for command, options in (("send", ("key-separator", "key", "partition", "batch-size", "rate", "count", "size")),
                             ("peek", ("partition", "start", "count", "format", "group")), ("hub", ("json", "timeout"))):
        out = call(command, "--help")
        expect(out, 0)
        check(out.stderr == "" and max(map(len, out.stdout.splitlines())) < 160, out.stderr)
        for option in common + options:
            check(re.search(rf"^  --{option}\b", out.stdout, re.M), f"{command} --help does not list --{option}")


if __name__ == "__main__":
    run(strangers_on_the_plain_port_are_told, strangers_on_the_tls_port_are_told, strangers_behind_tls_are_told,
        closed_ports_and_unknown_hosts_are_told, send_draws_a_bar_on_a_terminal_and_only_there,
        send_counts_on_a_terminal_when_the_end_is_not_known, errors_on_a_terminal_are_one_line_and_the_exit_code_tells,
        help_lists_every_option_that_is_promised)
