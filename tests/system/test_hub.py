#!/usr/bin/env python3
"""The program tidemark-hub: its options, its one line, its end."""
import json
import os
import pathlib
import signal
import subprocess
import tempfile
import urllib.request

from harness import BUILD, check, run

HUB = str(BUILD / "tools/hub/tidemark-hub")


def call(*args, **kw):
    return subprocess.run([HUB, *args], capture_output=True, text=True, timeout=30, **kw)


class Hub:
    def __init__(self, *args):
        self.process = subprocess.Popen([HUB, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def __enter__(self):
        line = self.process.stdout.readline()
        if not line:
            check(False, f"no line: {self.process.stderr.read()}")
        self.ready = json.loads(line)
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()

    def end(self, number):
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=30)
        return self.process.returncode, out, err

    def get(self, path):
        with urllib.request.urlopen(f"http://{self.ready['control']}{path}", timeout=10) as answer:
            return answer.read().decode()


def help_and_version_are_printed():
    out = call("--help")
    check(out.returncode == 0 and not out.stderr, out)
    for option in ("listen", "hub", "group", "data", "retention", "retention-bytes", "throughput-units", "key-name", "key",
                   "tls-cert", "tls-key", "websocket", "control", "preload", "version"):
        check(f"--{option} " in out.stdout or f"--{option}\n" in out.stdout, f"no --{option} in the help")
    out = call("--version")
    check(out.returncode == 0 and out.stdout.startswith("tidemark-hub "), out)


def wrong_options_exit_with_2_and_say_which():
    for args in (["--nonsense"], ["argument"], ["--hub", "a/b"], ["--hub", "a:0"], ["--hub", "a:2000"], ["--hub", "a", "--hub", "A"],
                 ["--listen", "nowhere"], ["--listen", "127.0.0.1:70000"], ["--retention", "5"], ["--retention-bytes", "much"],
                 ["--throughput-units", "-1"], ["--tls-cert", "x"], ["--tls-cert", "/nowhere", "--tls-key", "/nowhere"],
                 ["--jwt", "some"], ["--log", "loud"], ["--preload", "hub"], ["--preload", "hub:x:1"], ["--hub"]):
        out = call(*args)
        check(out.returncode == 2 and not out.stdout and out.stderr, f"{args}: {out}")


def what_cannot_be_done_exits_with_1():
    with Hub("--control", "127.0.0.1:0") as hub:
        out = call("--listen", hub.ready["amqp"])
        check(out.returncode == 1 and hub.ready["amqp"] in out.stderr, out)
    out = call("--data", "/proc/nowhere")
    check(out.returncode == 1 and "/proc/nowhere" in out.stderr, out)
    out = call("--preload", "other:1:1")
    check(out.returncode == 1 and "other" in out.stderr, out)


def the_ready_line_tells_all_there_is():
    with Hub("--hub", "a:3", "--hub", "b", "--group", "g", "--websocket", "127.0.0.1:0", "--control", "127.0.0.1:0",
             "--key-name", "me", "--key", "k") as hub:
        check(set(hub.ready) == {"ready", "amqp", "websocket", "control", "connection_string"}, hub.ready)
        port = hub.ready["amqp"].split(":")[1]
        check(hub.ready["connection_string"] == f"Endpoint=sb://localhost:{port};SharedAccessKeyName=me;"
              "SharedAccessKey=k;UseDevelopmentEmulator=true", hub.ready)
        hubs = json.loads(hub.get("/state"))["hubs"]
        check([(h["name"], len(h["partitions"]), h["groups"]) for h in hubs] ==
              [("a", 3, ["$default", "g"]), ("b", 4, ["$default", "g"])], hubs)


def a_signal_ends_it_cleanly():
    for number in (signal.SIGTERM, signal.SIGINT):
        with Hub("--control", "127.0.0.1:0") as hub:
            check(hub.end(number) == (0, "", ""), "not clean")


def events_to_begin_with_are_there():
    with Hub("--hub", "a:2", "--preload", "a:1000:1KiB", "--preload", "a:10:5:3", "--control", "127.0.0.1:0") as hub:
        parts = json.loads(hub.get("/state"))["hubs"][0]["partitions"]
        check(sum(p["last_sequence"] + 1 for p in parts) == 1010, parts)


def a_folder_is_its_own_and_another_shape_is_refused():
    with tempfile.TemporaryDirectory() as folder:
        data = str(pathlib.Path(folder) / "data")
        with Hub("--hub", "a:2", "--data", data) as hub:
            out = call("--hub", "a:2", "--data", data)
            check(out.returncode == 1 and "in use by another hub" in out.stderr, out)
            check(hub.end(signal.SIGTERM)[0] == 0, "not clean")
        out = call("--hub", "a:3", "--data", data)
        check(out.returncode == 2 and "2 partitions" in out.stderr, out)
        with Hub("--hub", "a:2", "--data", data):
            pass


def a_reader_of_the_ready_line_that_has_gone_is_an_error():
    read, write = os.pipe()
    os.close(read)
    process = subprocess.Popen([HUB], stdout=write, stderr=subprocess.PIPE, text=True)
    os.close(write)
    _, err = process.communicate(timeout=30)
    check(process.returncode == 1 and "standard output" in err, f"{process.returncode} {err}")


run(help_and_version_are_printed, wrong_options_exit_with_2_and_say_which, what_cannot_be_done_exits_with_1,
    the_ready_line_tells_all_there_is, a_signal_ends_it_cleanly, events_to_begin_with_are_there,
    a_folder_is_its_own_and_another_shape_is_refused, a_reader_of_the_ready_line_that_has_gone_is_an_error)
