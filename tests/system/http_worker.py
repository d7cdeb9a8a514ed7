"""A worker's HTTP endpoint, for tests."""
import json
import re
import urllib.error
import urllib.request

from harness import wait_for


def address_of(worker):
    """ADDR:PORT that a worker started with --http ...:0 has said."""
    def said():
        found = re.search(r"^tidemark: http://(\S+)/$", worker.log.read_text(), re.M)
        return found and found.group(1)
    return wait_for("the address of the HTTP endpoint", said, 20)


def fetch(address, path, method="GET", timeout=5):
    """Status, body and headers."""
    request = urllib.request.Request(f"http://{address}{path}", method=method)
    try:
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            return answer.status, answer.read().decode(), answer.headers
    except urllib.error.HTTPError as e:
        return e.code, e.read().decode(), e.headers


def status(address):
    code, body, _ = fetch(address, "/status")
    return json.loads(body) if code == 200 else None


def failed_checks(address, path):
    """The names of what a health endpoint finds wrong, with its reasons."""
    code, body, _ = fetch(address, path)
    checks = json.loads(body)["checks"]
    assert (code == 200) == all(c["ok"] for c in checks), body
    return {c["check"]: c["reason"] for c in checks if not c["ok"]}
