#!/usr/bin/env python3
"""tidemark doctor: each trap is found, named, and an answer to "what now" stands below it."""
import contextlib
import json
import re
import socket
import subprocess
import threading

from blobs import Blobs
from fake_blobs import Part, error, service
from harness import BUILD, azurite, check, run, wait_for, world

KEY = "c2VjcmV0LWtleS1vZi10aGUtdGVzdA=="
PASSWORD = "hunter2hunter2"


def doctor(w, *args, hub="t", env=None):
    out = subprocess.run([str(BUILD / "tools/tidemark/tidemark"), "doctor", "--hub", hub, *map(str, args)],
                         env={**w.env, **(env or {})}, capture_output=True, text=True, timeout=100)
    out.all = out.stdout + out.stderr
    for secret in (KEY, PASSWORD, "SharedKey "):
        check(secret not in out.all, f"a secret is shown: {out.all}")
    return out


def expect(out, code, kind, topic, *words, advice=None):
    """A line of this kind and topic holds the words, and the one below it the advice."""
    check(out.returncode == code, f"exit code {out.returncode}, not {code}: {out.all}")
    lines = out.stdout.splitlines()
    at = next((i for i, line in enumerate(lines) if line.startswith(f"{kind:5} {topic:20} ")), None)
    check(at is not None, f"no line '{kind} {topic}': {out.all}")
    for word in words:
        check(word in lines[at], f"'{word}' is not in '{lines[at]}'")
    if advice:
        check("->" in lines[at + 1] and advice in lines[at + 1], f"'{advice}' is not in '{lines[at + 1]}'")


def place(address):
    return f"AccountName=acct;AccountKey={KEY};BlobEndpoint={address}"


def at(address, *args):
    return ("--storage-connection-string", place(address), "--store", "blob:box", *args)


def certificate(w, name, *args):
    key, cert = w.dir / f"{name}.key", w.dir / f"{name}.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", cert, "-subj",
                    f"/CN={name}", *args], check=True, capture_output=True)
    return cert, key


def all_is_well_on_azurite():
    with world(partitions=3, blobs=True) as w:
        out = doctor(w, "--create-container")
        expect(out, 0, "ok", "settings", "hub 't'", "$Default")
        expect(out, 0, "ok", "hub name", "localhost is 127.0.0.1")
        expect(out, 0, "ok", "hub token", "accepted")
        expect(out, 0, "ok", "partitions", "all 3 answer")
        expect(out, 0, "ok", "group", "can be read")
        expect(out, 0, "ok", "store rights", "made, rewritten, leased and deleted")
        expect(out, 0, "ok", "clock")
        expect(out, 0, "ok", "group in the store", "no records yet")
        check("0 wrong" in out.stdout, out.all)
        blobs = Blobs(w.env["AZURE_STORAGE_CONNECTION_STRING"])
        check(blobs.names() == [], f"the trial has left {blobs.names()}")
        expect(doctor(w, "--read-only"), 0, "-", "store rights", "not tried")
        expect(doctor(w, env={"HTTPS_PROXY": f"http://u:{PASSWORD}@127.0.0.1:1"}), 0, "warn", "hub proxy", "HTTPS_PROXY",
               advice="--proxy env")


def wrong_names_keys_and_groups_of_the_hub_are_told_apart():
    with world(partitions=1) as w:
        right = w.env["EVENTHUB_CONNECTION_STRING"]
        broken = ";".join(f"SharedAccessKey={KEY}" if p.startswith("SharedAccessKey=") else p for p in right.split(";"))
        expect(doctor(w, "--connection-string", broken), 1, "FAIL", "hub token", "signature", advice="key")
        expect(doctor(w, hub="nope"), 1, "FAIL", "hub", "could not be found", advice="--hub")
        expect(doctor(w, "--group", "nope"), 1, "FAIL", "group", "could not be found", advice="--group")
        a = w.worker("a")
        w.all_owned(["a"])
        expect(doctor(w), 0, "ok", "group", "by a processor")
        check(a.stop() == 0, "the worker did not stop")
        gone = right.replace("sb://localhost", "sb://no-such-name.invalid").replace(";UseDevelopmentEmulator=true", "")
        expect(doctor(w, "--connection-string", gone), 1, "FAIL", "hub name", "no-such-name.invalid", advice="DNS")
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            closed = right.rpartition("localhost:")[0] + f"localhost:{s.getsockname()[1]};" + right.split(";", 1)[1]
            expect(doctor(w, "--connection-string", closed), 1, "FAIL", "hub connection", "cannot connect", advice="firewalls")


def certificates_of_the_hub_are_judged():
    with world(partitions=1) as w:
        cert, key = certificate(w, "localhost", "-days", "100", "-addext", "subjectAltName=DNS:localhost")
        soon, soon_key = certificate(w, "soon", "-days", "3", "-addext", "subjectAltName=DNS:localhost")
        for name, cert, key in (("hub", cert, key), ("soon", soon, soon_key)):
            hub = w.spawn([BUILD / "tools/hub/tidemark-hub", "--listen", "127.0.0.1:0", "--hub", "t:1", "--tls-cert", cert,
                           "--tls-key", key], stdout=subprocess.PIPE, text=True)
            ready = json.loads(hub.stdout.readline())
            port = ready.get("tls", ready["amqp"]).rpartition(":")[2]
            text = ready["connection_string"].replace(";UseDevelopmentEmulator=true", "")
            text = ";".join(f"Endpoint=sb://localhost:{port}" if p.startswith("Endpoint=") else p for p in text.split(";"))
            trust = ("--tls-ca", cert)
            if name == "soon":
                out = doctor(w, "--connection-string", text, *trust)
                expect(out, 0, "warn", "hub certificate", advice="renew")
                check(re.search(r"hub certificate .* ends in [23] days", out.stdout), out.all)  # 3 in its first second
                continue
            out = doctor(w, "--connection-string", text, *trust)
            expect(out, 0, "ok", "hub certificate", "localhost")
            check(re.search(r"hub certificate .* for (99|100) more days", out.stdout), out.all)  # 100 in its first second
            expect(doctor(w, "--connection-string", text), 1, "FAIL", "hub certificate", "unknown CA", "CN", advice="--tls-ca")
            wrong = text.replace("sb://localhost", "sb://127.0.0.1")
            expect(doctor(w, "--connection-string", wrong, *trust), 1, "FAIL", "hub certificate", "another host", "localhost",
                   advice="a name that the certificate is for")
            expect(doctor(w, "--connection-string", text, "--tls-ca", w.dir / "nothing"), 1, "FAIL", "hub certificate",
                   "CA certificates", advice="--tls-ca")
            plain = w.env["EVENTHUB_CONNECTION_STRING"].replace(";UseDevelopmentEmulator=true", "")
            expect(doctor(w, "--connection-string", plain), 1, "FAIL", "hub TLS", "handshake", advice="port")


@contextlib.contextmanager
def proxy(answer):
    """An HTTP proxy that answers each CONNECT so; with 200 it carries on."""
    seen = []

    def carry(a, b):
        with contextlib.suppress(OSError):
            while data := a.recv(65536):
                b.sendall(data)
            b.shutdown(socket.SHUT_WR)

    def serve(conn):
        with contextlib.suppress(OSError):
            head = b""
            while b"\r\n\r\n" not in head:
                head += conn.recv(4096)
            seen.append(head.decode())
            conn.sendall(f"HTTP/1.1 {answer}\r\n\r\n".encode())
            if not answer.startswith("200"):
                conn.close()
                return
            host, _, port = head.split()[1].decode().rpartition(":")
            other = socket.create_connection((host, int(port)))
            threading.Thread(target=carry, args=(other, conn), daemon=True).start()
            carry(conn, other)

    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen(16)

        def loop():
            with contextlib.suppress(OSError):
                while True:
                    threading.Thread(target=serve, args=(s.accept()[0],), daemon=True).start()

        threading.Thread(target=loop, daemon=True).start()
        yield f"http://user:{PASSWORD}@127.0.0.1:{s.getsockname()[1]}", seen
        s.shutdown(socket.SHUT_RDWR)


def proxies_are_used_and_judged():
    with world(partitions=1) as w:
        with proxy("200 fine") as (url, seen):
            out = doctor(w, "--proxy", url)
            expect(out, 0, "ok", "hub proxy", "127.0.0.1")
            expect(out, 0, "ok", "hub token")
            check(seen and all(s.startswith("CONNECT ") for s in seen), seen)
        with proxy("407 who are you") as (url, _):
            expect(doctor(w, "--proxy", url), 1, "FAIL", "hub proxy", "407", advice="password")
        with proxy("403 no") as (url, _):
            expect(doctor(w, "--proxy", url), 1, "FAIL", "hub proxy", "forbids", advice="allows")
        expect(doctor(w, "--proxy", f"http://u:{PASSWORD}@127.0.0.1:1"), 1, "FAIL", "hub proxy", "onnect")
        expect(doctor(w, "--proxy", f"http://u:{PASSWORD}@no-such-name.invalid:1"), 1, "FAIL", "hub proxy", "name")


SOFT = ("<StorageServiceProperties><DeleteRetentionPolicy><Enabled>{}</Enabled><Days>7</Days></DeleteRetentionPolicy>"
        "</StorageServiceProperties>")


def the_traps_of_an_account_are_named():
    good = {"x-ms-account-kind": "StorageV2", "x-ms-is-hns-enabled": "false"}
    cases = [
        (Part(account=good, service=SOFT.format("false")), 0, "ok", "hierarchical ns", ["off"], None),
        (Part(account=good, service=SOFT.format("false")), 0, "ok", "soft delete", ["off"], None),
        (Part(account={**good, "x-ms-is-hns-enabled": "true"}), 0, "warn", "hierarchical ns", ["Data Lake"], "without it"),
        (Part(service=SOFT.format("true")), 0, "warn", "soft delete", ["on:"], "without it"),
        (Part(made={"x-ms-version-id": "2026-11-21T00:00:00.0000000Z"}), 0, "warn", "versioning", ["on:"], "without it"),
        (Part(container={"x-ms-has-immutability-policy": "true"}), 1, "FAIL", "immutability", ["policy"], "container without"),
        (Part(container={"x-ms-has-immutability-policy": "false", "x-ms-has-legal-hold": "true"}), 1, "FAIL", "immutability",
         ["hold"], "container without"),
        (Part(refuse=lambda m, p, q: m == "DELETE" and error(409, "BlobImmutableDueToPolicy")), 1, "FAIL", "store rights",
         ["policy"], "without such a policy"),
        (Part(refuse=lambda m, p, q: q.get("restype") in ("account", "service") and error(403, "AuthorizationFailure")), 0, "-",
         "soft delete", ["rights at hand"], None),
        (Part(skew=300), 0, "warn", "clock", ["behind"], "keep time"),
        (Part(skew=-1200), 1, "FAIL", "clock", ["ahead of"], "keep time"),
        (Part(skew=1200, refuse=lambda m, p, q: error(403, "AuthenticationFailed")), 1, "FAIL", "clock", ["behind"], "keep time"),
        (Part(refuse=lambda m, p, q: error(403, "AuthenticationFailed")), 1, "FAIL", "store access", ["AuthenticationFailed"],
         "key"),
        (Part(refuse=lambda m, p, q: m == "PUT" and error(403, "AuthorizationPermissionMismatch")), 1, "FAIL", "store rights",
         ["AuthorizationPermissionMismatch"], "rcwld"),
        (Part(refuse=lambda m, p, q: error(403, "KeyBasedAuthenticationNotPermitted")), 1, "FAIL", "store access", ["403"],
         "--credential"),
        (Part(refuse=lambda m, p, q: error(404, "ContainerNotFound")), 1, "FAIL", "container", ["does not exist"],
         "--create-container"),
        (Part(refuse=lambda m, p, q: error(409, "ContainerBeingDeleted")), 1, "FAIL", "store access", ["being deleted"], None),
        (Part(refuse=lambda m, p, q: error(503, "ServerBusy")), 1, "FAIL", "store access", ["busy"], None),
        (Part(names=["<torn"]), 1, "FAIL", "store access", ["damaged"], None),
    ]
    with world(partitions=1) as w:
        for part, code, kind, topic, words, advice in cases:
            with service(part) as address:
                expect(doctor(w, *at(address), "--timeout", "3s"), code, kind, topic, *words, advice=advice)


def addresses_and_certificates_of_the_store_are_judged():
    with world(partitions=1) as w:
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            out = doctor(w, *at(f"http://127.0.0.1:{s.getsockname()[1]}"), "--timeout", "3s")
            expect(out, 1, "FAIL", "store connection", "cannot connect", advice="network rules")
        expect(doctor(w, *at("https://no-such-name.invalid"), "--timeout", "3s"), 1, "FAIL", "store name", advice="DNS")
        cert, key = certificate(w, "store", "-days", "100", "-addext", "subjectAltName=IP:127.0.0.1")
        with service(Part(), cert, key) as address:
            expect(doctor(w, *at(address), "--timeout", "3s"), 1, "FAIL", "store certificate", "unknown CA", advice="--tls-ca")
            expect(doctor(w, *at(address), "--tls-ca", cert), 0, "ok", "store certificate", "issued by", "more days")
        expect(doctor(w, "--store", "blob:NO", "--storage-connection-string", place("http://127.0.0.1:1")), 1, "FAIL",
               "store settings", "lower-case", advice="--store")
        expect(doctor(w, "--store", "blob:box"), 1, "FAIL", "store settings")
        expect(doctor(w, "--store", "memory"), 0, "warn", "store", "begins anew", advice="--store")
        expect(doctor(w), 0, "ok", "store", "file:")
        expect(doctor(w, "--store", "file:/proc/nope"), 1, "FAIL", "store")


def other_fleets_on_the_group_are_found():
    with world(partitions=1, blobs={"clock": True}) as w:
        blobs = Blobs(w.env["AZURE_STORAGE_CONNECTION_STRING"])
        blobs.make_container()
        ours, theirs = "localhost/t/$default", "localhost/t/$Default"
        blobs.put(f"{ours}/ownership/0", {"ownerid": "net-1"})
        expect(doctor(w), 1, "FAIL", "group in the store", "'net-1'", advice="--claims shared")
        expect(doctor(w, "--claims", "shared"), 0, "ok", "group in the store", "1 official owners")
        azurite.advance(w.azurite, 70)
        expect(doctor(w, "--claims", "shared"), 0, "warn", "timing of others", "counts as dead", advice="--expiry")
        blobs.put(f"{theirs}/ownership/0", {"ownerid": "go-1"})
        expect(doctor(w, "--claims", "shared"), 1, "FAIL", "letter case", "$Default", "go-1", advice="lower case")
        azurite.advance(w.azurite, 180)
        expect(doctor(w), 0, "warn", "letter case", "$Default", "0 living owners")
        expect(doctor(w), 0, "ok", "group in the store")
        blobs.put(f"{ours}/checkpoint/0", {"sequencenumber": "1", "offset": "1"})
        check(blobs.lease(f"{ours}/checkpoint/0") == 201, "no lease")
        expect(doctor(w), 0, "warn", "group in the store", "nobody lives", advice="unlock")
        expect(doctor(w, "--claims", "shared"), 1, "FAIL", "group in the store", "run by leases", advice="unlock")


def a_living_fleet_of_tidemark_is_seen_and_times_are_judged():
    with world(partitions=2, blobs=True) as w:
        a = w.worker("a", "--create-container")
        w.all_owned(["a"])
        wait_for("its leases", lambda: "1 instances of Tidemark alive" in doctor(w).stdout)
        expect(doctor(w, "--claims", "shared"), 1, "FAIL", "group in the store", "run by leases", advice="--claims lease")
        check(a.stop() == 0, "the worker did not stop")
        expect(doctor(w, "--expiry", "10s"), 1, "FAIL", "timing", "15 to 60 s", advice="--expiry")
        expect(doctor(w, "--expiry", "15s", "--heartbeat", "5s"), 1, "FAIL", "timing", "taken for dead", advice="--heartbeat")
        expect(doctor(w, "--expiry", "60s", "--heartbeat", "10s"), 0, "ok", "timing", "6 heartbeats")


def entra_credentials_are_tried():
    with world(partitions=1) as w:
        cert, key = certificate(w, "localhost", "-days", "100", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1")
        hub = w.spawn([BUILD / "tools/hub/tidemark-hub", "--listen", "127.0.0.1:0", "--hub", "t:1", "--tls-cert", cert,
                       "--tls-key", key], stdout=subprocess.PIPE, text=True)
        ready = json.loads(hub.stdout.readline())
        port = ready.get("tls", ready["amqp"]).rpartition(":")[2]
        refused = json.dumps({"error": "invalid_client", "error_description": "AADSTS7000215: Invalid client secret."})
        part = Part(refuse=lambda m, p, q: m == "POST" and (401, {"Content-Type": "application/json"}, refused))
        with service(part, cert, key) as address:
            env = {"AZURE_AUTHORITY_HOST": address, "AZURE_CLIENT_SECRET": PASSWORD}
            env["EVENTHUB_CONNECTION_STRING"] = ""
            w.env.pop("EVENTHUB_CONNECTION_STRING")
            env.pop("EVENTHUB_CONNECTION_STRING")
            out = doctor(w, "--namespace", f"localhost:{port}", "--credential", "secret", "--tenant-id", "t", "--client-id", "c",
                         "--tls-ca", cert, "--storage-account", address, "--store", "blob:box", "--timeout", "4s", env=env)
            expect(out, 1, "FAIL", "hub token", "AADSTS7000215", advice="secret")
            expect(out, 1, "FAIL", "store token", "AADSTS7000215", advice="secret")


def wrong_usage_is_told():
    with world(partitions=1) as w:
        w.env.pop("EVENTHUB_CONNECTION_STRING")
        out = doctor(w)
        check(out.returncode == 2 and "EVENTHUB_CONNECTION_STRING" in out.stderr, out.all)
        out = doctor(w, "--nonsense")
        check(out.returncode == 2, out.all)
        out = doctor(w, "--help")
        check(out.returncode == 0 and "usage: tidemark doctor" in out.stdout, out.all)


if __name__ == "__main__":
    run(all_is_well_on_azurite, wrong_names_keys_and_groups_of_the_hub_are_told_apart, certificates_of_the_hub_are_judged,
        proxies_are_used_and_judged, the_traps_of_an_account_are_named, addresses_and_certificates_of_the_store_are_judged,
        other_fleets_on_the_group_are_found, a_living_fleet_of_tidemark_is_seen_and_times_are_judged,
        entra_credentials_are_tried, wrong_usage_is_told)
