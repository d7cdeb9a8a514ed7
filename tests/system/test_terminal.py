#!/usr/bin/env python3
"""The live views on a pseudo-terminal: calm, whole, fitting the window, and gone at the end."""
import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time

from harness import BUILD, Failed, check, run, world

TIDEMARK = str(BUILD / "tools/tidemark/tidemark")
TOKEN = re.compile(rb"\x1b\[\??[0-9;]*[a-zA-Z]|[^\x1b]+|\x1b")


class Terminal:
    """A program on a pseudo-terminal, and the screen that it has drawn."""

    def __init__(self, w, args, rows=24, columns=100, stderr=None, env=()):
        self.main, tty = pty.openpty()
        self.size(rows, columns)
        self.process = w.spawn([TIDEMARK, *args, "--hub", "t"], stdin=tty, stdout=tty, stderr=stderr or tty,
                               env={**w.env, "TERM": "xterm-256color", "TZ": "UTC", **dict(env)}, start_new_session=True)
        os.close(tty)
        self.raw, self.frames = b"", []

    def size(self, rows, columns):
        self.rows, self.columns = rows, columns
        fcntl.ioctl(self.main, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def resize(self, rows, columns):
        self.size(rows, columns)
        self.process.send_signal(signal.SIGWINCH)

    def read(self, seconds):
        """Takes what comes; False at the end of the program."""
        if not select.select([self.main], [], [], seconds)[0]:
            return True
        try:
            data = os.read(self.main, 65536)
        except OSError:
            return False
        self.raw = (self.raw + data).replace(b"\r\r\n", b"\r\n")  # the terminal adds one
        for _ in range(data.count(b"\x1b[?2026l")):
            self.frames.append(time.monotonic())
        return bool(data)

    def screen(self):
        """Lines of the last whole picture; checks that it was drawn by overwriting alone."""
        start = self.raw.rfind(b"\x1b[?2026h", 0, self.raw.rfind(b"\x1b[?2026l") + 1)
        if start < 0:
            return []
        frame = self.raw[start:self.raw.index(b"\x1b[?2026l", start)]
        check(b"\x1b[2J" not in frame and b"\n\n" not in frame, "the screen is cleared before it is drawn")
        lines, line = [], b""
        for token in TOKEN.findall(frame):
            if token.startswith(b"\x1b["):
                check(re.fullmatch(rb"\x1b\[(\?2026h|H|K|J|[0-9;]*m)", token), f"an unexpected command: {token}")
                continue
            check(b"\x1b" not in token, "a bare escape")
            parts = token.split(b"\r\n")
            line += parts[0]
            for part in parts[1:]:
                lines.append(line.decode())
                line = part
        lines.append(line.decode())
        check(len(lines) <= self.rows, f"{len(lines)} lines in {self.rows} rows")
        for text in lines:
            check(len(text) <= self.columns, f"a line of {len(text)} in {self.columns} columns: {text}")
        return lines

    def wait(self, what, condition, seconds=40):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            alive = self.read(0.05)
            lines = self.screen()
            if lines and condition(lines):
                return lines
            if not alive:
                break
        raise Failed(f"waited for {what}: {self.screen() or self.raw[-2000:]}")

    def end(self, seconds=40):
        """The rest of the output and the exit code."""
        limit = time.monotonic() + seconds
        while self.read(0.1) and time.monotonic() < limit:
            pass
        code = self.process.wait(5)
        os.close(self.main)
        return code

    def restored(self):
        check(b"\x1b[?1049h" in self.raw, "no view was shown")
        for command in (b"\x1b[?1049l", b"\x1b[?25h"):
            check(self.raw.rfind(command) > self.raw.rfind(b"\x1b[?2026h"), "the terminal is not given back")


def has(*words):
    return lambda lines: all(any(word in line for line in lines) for word in words)


def consume_on_a_terminal_is_a_calm_live_view():
    with world(partitions=4) as w:
        hostile = "k\x1b[2J\x07"
        w.send_lines([f"{hostile}|value {i}\n" for i in range(40)], "--key-separator", "|")
        t = Terminal(w, ["consume", "--owner-id", "me", "--retention", "1h"])
        lines = t.wait("all events on the screen", has("40 final", "ready", "partition owner", "me~", "partition.opened"))
        check(any("4 partitions" not in l and "0 behind" in l for l in lines), lines)
        check(sum(1 for l in lines if re.match(r"[0-3] +me~", l)) == 4, lines)
        check(any('"partition":' in l for l in lines), "the last events are not shown")
        began, before = time.monotonic(), len(t.frames)
        while time.monotonic() - began < 3.5:
            t.read(0.1)
        drawn = len(t.frames) - before
        check(2 <= drawn <= 4, f"{drawn} pictures in 3.5 s")
        for rows, columns in ((12, 40), (6, 20), (50, 200), (1, 1)):
            at = len(t.raw)
            t.resize(rows, columns)
            t.wait(f"a picture of {columns} columns", lambda _, at=at: b"\x1b[?2026l" in t.raw[at:], 5)
        t.resize(24, 100)
        t.process.send_signal(signal.SIGINT)
        check(t.end() == 0, "did not end well")
        t.restored()
        tail = t.raw[t.raw.rfind(b"\x1b[?1049l"):]
        check(b"40 events final" in tail, tail)
        check(b"\x1b[2J" not in t.raw.split(b"\x1b[2J", 1)[1], "a key has cleared the screen")


def a_second_signal_gives_the_terminal_back_too():
    with world(partitions=1) as w:
        w.send_lines(["one\n"])
        t = Terminal(w, ["consume", "--work", "30s", "--stop-deadline", "60s"])
        t.wait("the event in a handler", has("1 handlers busy"))
        t.process.send_signal(signal.SIGINT)
        t.wait("the stop on the screen", has("stopping"))
        t.process.send_signal(signal.SIGINT)
        check(t.end(10) == 1, "did not end at once")
        t.restored()


def problems_stand_in_the_view_and_in_a_file_that_was_asked_for():
    with world(partitions=1) as w:
        log = open(w.dir / "log", "wb")
        t = Terminal(w, ["consume", "--log-format", "json"], stderr=log)
        t.wait("readiness", has("ready"))
        w.fault(fault="detach", role="receiver", condition="amqp:link:detach-forced")
        t.wait("the problem on the screen", has("1 problem", "processor.problem"))
        t.process.send_signal(signal.SIGTERM)
        check(t.end() == 0, "did not end well")
        lines = [json.loads(l) for l in (w.dir / "log").read_text().splitlines()]
        problems = [l for l in lines if l["event"] == "processor.problem"]
        check(len(problems) == 1 and problems[0]["level"] == "warn" and problems[0]["partition"] == "0" and
              "detach-forced" in problems[0]["origin"] and problems[0]["time"].endswith("Z"), lines)


def without_a_terminal_or_with_plain_there_are_lines():
    with world(partitions=1) as w:
        w.send_lines(["one\n", "two\n"])
        out = w.tidemark("consume", "--max-events", "2", timeout=40)
        check([json.loads(l)["body"] for l in out.stdout.splitlines()] == ["one", "two"], out.stdout + out.stderr)
        check("\x1b" not in out.stdout + out.stderr, "commands for a terminal that is none")
        for args, env in ((["--plain"], ()), ([], (("TERM", "dumb"),)), (["--format", "json"], ())):
            t = Terminal(w, ["consume", "--max-events", "2", "--start", "earliest", "--checkpoint-events", "0",
                             "--checkpoint-interval", "0s", "--store", "memory", *args], env=env)
            check(t.end() == 0 and b"\x1b" not in t.raw and b'"body":"two"' in t.raw, t.raw)
        out = w.tidemark("status")
        check(out.returncode == 0 and "\x1b" not in out.stdout and "oldest" in out.stdout, out.stdout)


def status_watch_is_a_live_view_that_ends_with_the_thresholds_code():
    with world(partitions=2) as w:
        t = Terminal(w, ["status", "--watch", "--every", "300ms", "--max-lag", "5", "--retention", "1h"])
        t.wait("no lag", has("tidemark status", "2 partitions, 0 events behind"))
        w.send_lines([f"{i}\n" for i in range(30)])
        t.wait("the lag", has("2 partitions, 30 events behind", "59 min"))
        t.resize(10, 50)
        t.wait("the small window", lambda lines: True)
        t.process.send_signal(signal.SIGINT)
        check(t.end() == 1, "the threshold is passed: exit code 1")
        t.restored()
        check(b"more than is allowed" not in t.raw, "an alarm was written over the view")
        t = Terminal(w, ["status", "--watch", "--every", "300ms", "--max-lag", "50"])
        t.wait("the lag", has("2 partitions, 30 events behind"))
        t.process.send_signal(signal.SIGTERM)
        check(t.end() == 0, "no threshold is passed: exit code 0")
        t.restored()
        out = w.tidemark("status", "--max-lag-time", "1h")
        check(out.returncode == 0, out.stderr)
        out = w.tidemark("status", "--max-lag-time", "1ms", "--json")
        rows = json.loads(out.stdout)["partitions"]
        check(out.returncode == 1 and "more than is allowed" in out.stderr, out.stderr)
        check(all(0 <= time.time() * 1000 - r["oldest_enqueued_ms"] - r["lag_ms"] < 60000 for r in rows if r["lag_events"]), rows)
        out = w.tidemark("status", "--retention", "1h", "--min-time-to-loss", "2h")
        check(out.returncode == 1 and "loses data in" in out.stderr, out.stderr)
        child = w.spawn([TIDEMARK, "status", "--watch", "--every", "100ms", "--hub", "t"], stdout=subprocess.PIPE, text=True)
        text = "".join(child.stdout.readline() for _ in range(8))
        child.terminate()
        check(child.wait(20) == 0 and text.count("30 events behind") == 2 and "\x1b" not in text, text)


if __name__ == "__main__":
    run(consume_on_a_terminal_is_a_calm_live_view, a_second_signal_gives_the_terminal_back_too,
        problems_stand_in_the_view_and_in_a_file_that_was_asked_for, without_a_terminal_or_with_plain_there_are_lines,
        status_watch_is_a_live_view_that_ends_with_the_thresholds_code)
