#!/usr/bin/env python3
"""No secret in a log, at the level at which everything is told: whole runs with each kind of credential."""
import base64
import contextlib
import hashlib
import hmac
import json
import subprocess
import time
import urllib.parse

from fake_blobs import Part, service
from harness import BUILD, azurite, check, keyed_lines, run, wait_for, world

SECRET = "cl13ntS3cr3t~that.must-not_be~shown"


def forms(secret):
    """A secret as it may be met: plain, percent-encoded, base64, decoded."""
    yield secret
    yield urllib.parse.quote(secret, safe="")
    yield base64.b64encode(secret.encode()).decode()
    yield base64.b64encode(secret.encode()).decode().rstrip("=")


def clean(w, secrets, *texts):
    """All that processes have written holds no secret, and the log was a log."""
    logs = [w.dir / f for f in w.dir.iterdir() if f.suffix in (".log", ".journal", ".summary", ".err") or f.name == "send.log"]
    everything = "".join(p.read_text(errors="replace") for p in logs) + "".join(texts)
    for secret in secrets:
        for form in forms(secret):
            at = everything.find(form)
            check(at < 0, f"a secret is shown: ...{everything[max(0, at - 200):at + 20]}...")
    for word in ("SharedKey ", "Bearer ", "&sig=", "sig%3D", "client_secret=", "client_assertion="):
        at = everything.find(word)
        check(at < 0, f"'{word}' is in the log: ...{everything[max(0, at - 200):at + 20]}...")
    return everything


def whole_run(w, *args, group_args=()):
    """Sends, consumes to the end, looks; all at trace level."""
    w.env["TIDEMARK_LOG_LEVEL"] = "trace"
    lines, _ = keyed_lines(5, 20)
    sent = w.tidemark("send", "--json", "--key-separator", "|", *group_args, input="".join(lines))
    check(sent.returncode == 0, sent.stderr)
    a = w.worker("a", "--until-end", "--create-container", *group_args, *args)
    check(a.process.wait(60) == 0, a.log.read_text()[-3000:])
    check(a.count() == 100, f"{a.count()} events")
    status = w.tidemark("status", *group_args)
    doctor = w.tidemark("doctor", *group_args)
    check(status.returncode == 0, status.stderr)
    texts = [t for out in (sent, status, doctor) for t in (out.stdout, out.stderr)]
    check("blob.answer" in a.log.read_text(), "no requests in the log: is it one?")
    return texts


def keys(text):
    return dict(p.split("=", 1) for p in text.split(";") if "=" in p)


def keys_of_hub_and_storage():
    with world(partitions=2, blobs=True) as w:
        texts = whole_run(w)
        clean(w, [keys(w.env["EVENTHUB_CONNECTION_STRING"])["SharedAccessKey"], azurite.KEY], *texts)


def signatures_made_by_others():
    with world(partitions=2, blobs=True) as w:
        hub = keys(w.env["EVENTHUB_CONNECTION_STRING"])
        resource = urllib.parse.quote("sb://localhost/t", safe="")
        expiry = str(int(time.time()) + 3600)
        mine = base64.b64encode(hmac.new(hub["SharedAccessKey"].encode(), f"{resource}\n{expiry}".encode(),
                                         hashlib.sha256).digest()).decode()
        token = (f"SharedAccessSignature sr={resource}&sig={urllib.parse.quote(mine, safe='')}&se={expiry}"
                 f"&skn={hub['SharedAccessKeyName']}")
        w.env["EVENTHUB_CONNECTION_STRING"] = (f"Endpoint={hub['Endpoint']};SharedAccessSignature={token};EntityPath=t;"
                                               "UseDevelopmentEmulator=true")
        storage = keys(w.env["AZURE_STORAGE_CONNECTION_STRING"])
        text = "\n".join([azurite.ACCOUNT, "rwdlac", "b", "sco", "", "2099-01-01T00:00:00Z", "", "", "2021-12-02", "", ""])
        theirs = base64.b64encode(hmac.new(base64.b64decode(storage["AccountKey"]), text.encode(),
                                           hashlib.sha256).digest()).decode()
        sas = ("sv=2021-12-02&ss=b&srt=sco&sp=rwdlac&se=2099-01-01T00%3A00%3A00Z&sig=" + urllib.parse.quote(theirs, safe=""))
        w.env["AZURE_STORAGE_CONNECTION_STRING"] = f"BlobEndpoint={storage['BlobEndpoint']};SharedAccessSignature={sas}"
        texts = whole_run(w)
        clean(w, [mine, theirs, hub["SharedAccessKey"]], *texts)


def certificate(w):
    key, cert = w.dir / "key.pem", w.dir / "cert.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", cert, "-days", "2",
                    "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"], check=True,
                   capture_output=True)
    return cert, key


def jwt(audience, life=3600):
    """A token as Entra makes them, without a signature at which anybody looks."""
    def part(o):
        return base64.urlsafe_b64encode(json.dumps(o).encode()).decode().rstrip("=")
    now = int(time.time())
    return ".".join([part({"alg": "RS256", "typ": "JWT"}),
                     part({"aud": audience, "iss": "https://sts.windows.net/00000000-0000-0000-0000-000000000000/",
                           "nbf": now - 60, "iat": now - 60, "exp": now + life}), "c2lnbmF0dXJlLXRoYXQtbXVzdC1ub3QtYmUtc2hvd24"])


class Authority(Part):
    """Gives tokens for both scopes, after a busy moment; keeps what it gave."""

    def __init__(self, life=3600):
        super().__init__()
        self.tokens, self.life = [], life

    def answer(self, method, path, query):
        if method != "POST":
            return 404, {}, ""
        storage = b"storage.azure.com" in self.body
        self.tokens.append(jwt("https://storage.azure.com" if storage else "https://eventhubs.azure.net", self.life))
        if len(self.tokens) == 1:
            return 503, {"Retry-After": "1"}, '{"error":"temporarily_unavailable","error_description":"AADSTS90033"}'
        return 200, {"Content-Type": "application/json"}, json.dumps(
            {"token_type": "Bearer", "expires_in": self.life, "access_token": self.tokens[-1]})



@contextlib.contextmanager
def tenant(credential, extra_env, life=3600):
    """A world whose hub and Azurite, over TLS, take tokens of an authority of our own."""
    with world(partitions=2) as w:
        cert, key = certificate(w)
        w.tls_hub = w.spawn([BUILD / "tools/hub/tidemark-hub", "--listen", "127.0.0.1:0", "--hub", "t:2", "--jwt", "any",
                             "--tls-cert", cert, "--tls-key", key], stdout=subprocess.PIPE, text=True)
        ready = json.loads(w.tls_hub.stdout.readline())
        port = ready.get("tls", ready["amqp"]).rpartition(":")[2]
        w.start_azurite(args=("--oauth", "basic", "--cert", str(cert), "--key", str(key)))
        blob = keys(w.env.pop("AZURE_STORAGE_CONNECTION_STRING"))["BlobEndpoint"]
        w.env.pop("EVENTHUB_CONNECTION_STRING")
        authority = Authority(life)
        with service(authority, cert, key) as address:
            w.env.update({"AZURE_AUTHORITY_HOST": address, "AZURE_TENANT_ID": "t", "AZURE_CLIENT_ID": "c",
                          "EVENTHUB_NAMESPACE": f"localhost:{port}", "TIDEMARK_CREDENTIAL": credential,
                          "AZURE_STORAGE_ACCOUNT_URL": blob, "TIDEMARK_TLS_CA": str(cert), **extra_env(w, cert, key)})
            yield w, authority


def entra(credential, extra_env, secrets_of):
    with tenant(credential, extra_env) as (w, authority):
        texts = whole_run(w)
        check(len(authority.tokens) >= 3, f"{len(authority.tokens)} tokens were asked for")
        said = clean(w, secrets_of(w) + authority.tokens + [t.split(".")[2] for t in authority.tokens], *texts)
        for event in ("auth.ask", "auth.token", "auth.retry"):
            check(event in said, f"no {event} in the log: was it a log?")


def tokens_that_end_during_a_run_are_replaced_without_a_gap():
    with tenant("secret", lambda w, cert, key: {"AZURE_CLIENT_SECRET": SECRET}, life=8) as (w, authority):
        lines, sent = keyed_lines(10, 60)
        a = w.worker("a", "--create-container", "--checkpoint-interval", "500ms", "--order", "key")
        wait_for("a to own both", lambda: len(a.owned()) == 2)
        sender = w.sender(lines, "--key-separator", "|", "--rate", "25/s")
        check(sender.wait(90) == 0, "the sender failed")
        wait_for("all events", lambda: a.count() >= 600, 60)
        check(a.stop() == 0, a.log.read_text())
        verdict = w.judged(sent)
        print("#", len(authority.tokens), "tokens of 8 s in a run of 24 s;", verdict)
        check(verdict["lost"] == 0 and verdict["repeated"] == 0, verdict)
        check(len(authority.tokens) >= 6, f"{len(authority.tokens)} tokens were asked for")
        clean(w, [SECRET, *authority.tokens])


def a_client_secret():
    entra("secret", lambda w, cert, key: {"AZURE_CLIENT_SECRET": SECRET}, lambda w: [SECRET])


def pem_file(w, cert, key):
    both = w.dir / "both.pem"
    both.write_text(cert.read_text() + key.read_text())
    return {"AZURE_CLIENT_CERTIFICATE_PATH": str(both)}


def a_client_certificate():
    entra("certificate", pem_file, lambda w: (w.dir / "key.pem").read_text().splitlines()[1:-1])


def token_file(w, cert, key):
    (w.dir / "federated").write_text(jwt("api://AzureADTokenExchange") + "\n")
    return {"AZURE_FEDERATED_TOKEN_FILE": str(w.dir / "federated")}


def a_workload_identity():
    entra("workload", token_file, lambda w: [(w.dir / "federated").read_text().strip()])


if __name__ == "__main__":
    run(keys_of_hub_and_storage, signatures_made_by_others, a_client_secret, a_client_certificate, a_workload_identity,
        tokens_that_end_during_a_run_are_replaced_without_a_gap)
