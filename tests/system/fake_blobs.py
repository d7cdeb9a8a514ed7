"""A Blob service that plays a part: what Azurite never does. It takes any key, grants what is asked, and does to
each answer what the test says."""
import contextlib
import email.utils
import http.server
import ssl
import threading
import time
import urllib.parse

LIST = ('<?xml version="1.0" encoding="utf-8"?><EnumerationResults><Blobs>{}</Blobs><NextMarker/></EnumerationResults>')


class Part:
    """What the service is like. Answers are (code, headers, body); refuse(method, path, query) may give another."""

    def __init__(self, skew=0, account=None, service="", container=None, made=None, refuse=None, names=(), blobs=()):
        self.skew, self.account, self.service = skew, account or {"x-ms-account-kind": "StorageV2"}, service
        self.container = container or {"x-ms-has-immutability-policy": "false", "x-ms-has-legal-hold": "false"}
        self.made, self.refuse, self.names, self.blobs = made or {}, refuse, names, blobs
        self.requests = []

    def answer(self, method, path, query):
        refused = self.refuse and self.refuse(method, path, query)
        if refused:
            return refused
        if query.get("restype") == "account":
            return 200, self.account, ""
        if query.get("restype") == "service":
            return 200, {}, self.service
        if query.get("comp") == "list":
            return 200, {}, "\ufeff" + LIST.format("".join(self.names if "delimiter" in query else self.blobs))
        if query.get("restype") == "container":
            return (200, self.container, "") if method == "HEAD" else (201, {}, "")
        return {"PUT": 201, "DELETE": 202}.get(method, 200), {"ETag": '"0x1"', **self.made}, ""


def error(code, name):
    return code, {"x-ms-error-code": name}, f"<?xml version='1.0'?><Error><Code>{name}</Code></Error>"


@contextlib.contextmanager
def service(part, certificate=None, key=None):
    """Runs it; gives its address, http://127.0.0.1:PORT."""
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *args):
            pass

        def date_time_string(self, timestamp=None):
            return email.utils.formatdate(time.time() + part.skew, usegmt=True)

        def handle_one(self):
            url = urllib.parse.urlsplit(self.path)
            query = dict(urllib.parse.parse_qsl(url.query, keep_blank_values=True))
            part.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            part.requests.append((self.command, url.path, query, dict(self.headers)))
            code, headers, body = part.answer(self.command, url.path, query)
            data = b"" if self.command == "HEAD" else body.encode()
            self.send_response(code)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_PUT = do_HEAD = do_DELETE = do_POST = handle_one

    class Server(http.server.ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request, client_address):
            pass  # a client that breaks off a handshake is part of the tests

    with Server(("127.0.0.1", 0), Handler) as s:
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate, key)
            s.socket = context.wrap_socket(s.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=s.serve_forever, daemon=True).start()
        yield f"http{'s' if certificate else ''}://127.0.0.1:{s.server_address[1]}"
        s.shutdown()
