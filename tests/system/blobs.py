"""Blobs as other SDKs lay them: the few raw requests that the tests need, signed by the account's key."""
import base64
import email.utils
import hashlib
import hmac
import http.client
import urllib.parse


class Blobs:
    def __init__(self, connection_string, container="checkpoints"):
        parts = dict(p.split("=", 1) for p in connection_string.split(";") if "=" in p)
        url = urllib.parse.urlparse(parts["BlobEndpoint"])
        self.account, self.key = parts["AccountName"], base64.b64decode(parts["AccountKey"])
        self.place, self.base, self.container = (url.hostname, url.port), url.path, container

    def request(self, method, path, query=None, headers=None, body=b""):
        query = query or {}
        sent = {"x-ms-date": email.utils.formatdate(usegmt=True), "x-ms-version": "2021-12-02", **(headers or {})}
        ours = "".join(f"{k.lower()}:{sent[k]}\n" for k in sorted(sent, key=str.lower) if k.startswith("x-ms-"))
        place = f"/{self.account}{path}" + "".join(f"\n{k}:{query[k]}" for k in sorted(query))
        text = (f"{method}\n\n\n{len(body) or ''}\n\n\n\n\n{sent.get('If-Match', '')}\n{sent.get('If-None-Match', '')}"
                f"\n\n\n{ours}{place}")
        sent["Authorization"] = f"SharedKey {self.account}:" + base64.b64encode(
            hmac.new(self.key, text.encode(), hashlib.sha256).digest()).decode()
        c = http.client.HTTPConnection(*self.place, timeout=20)
        try:
            c.request(method, path + ("?" + urllib.parse.urlencode(query) if query else ""), body, sent)
            answer = c.getresponse()
            return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
        finally:
            c.close()

    def path(self, name):
        return f"{self.base}/{self.container}/" + urllib.parse.quote(name, safe="/$")

    def make_container(self):
        return self.request("PUT", f"{self.base}/{self.container}", {"restype": "container"})[0]

    def put(self, name, meta, body=b""):
        headers = {f"x-ms-meta-{k}": v for k, v in meta.items()}
        status, answer, text = self.request("PUT", self.path(name), None, {"x-ms-blob-type": "BlockBlob", **headers}, body)
        if status != 201:
            raise RuntimeError(f"{name}: {status} {answer} {text}")

    def meta(self, name):
        """The metadata of a blob; None where there is none."""
        status, headers, _ = self.request("HEAD", self.path(name))
        if status == 404:
            return None
        return {k[len("x-ms-meta-"):]: v for k, v in headers.items() if k.startswith("x-ms-meta-")}

    def names(self, prefix=""):
        _, _, text = self.request("GET", f"{self.base}/{self.container}",
                                  {"restype": "container", "comp": "list", "prefix": prefix})
        return [part.split("</Name>")[0] for part in text.decode().split("<Name>")[1:]]

    def lease(self, name, lease_id="11111111-1111-4111-8111-111111111111", seconds=-1):
        return self.request("PUT", self.path(name), {"comp": "lease"},
                            {"x-ms-lease-action": "acquire", "x-ms-lease-duration": str(seconds),
                             "x-ms-proposed-lease-id": lease_id})[0]
