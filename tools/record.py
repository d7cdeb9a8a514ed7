#!/usr/bin/env python3
"""Records a command that draws on a terminal as an animated picture: docs/demo.svg is made by

    tools/record.py docs/demo.svg ./run demo
"""
import html
import os
import pty
import re
import sys
import time

COLUMNS, LINE, CHAR, PAD = 96, 18, 8.4, 14
SPEED, LAST = 4.0, 6.0  # times as fast as it was; seconds that the end is shown
STYLE = """text{font:14px ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;white-space:pre;fill:#1f2328}
rect{fill:#f6f8fa;stroke:#d1d9e0}g{visibility:hidden}
@media(prefers-color-scheme:dark){text{fill:#e6edf3}rect{fill:#0d1117;stroke:#3d444d}}"""


def capture(command):
    """[(seconds, text)] of what the command wrote to its terminal."""
    child, fd = pty.fork()
    if child == 0:
        os.environ.update(TERM="xterm", COLUMNS=str(COLUMNS))
        os.execvp(command[0], command)
    begun, written = time.monotonic(), []
    while True:
        try:
            data = os.read(fd, 65536)
        except OSError:
            break
        if not data:
            break
        written.append((time.monotonic() - begun, data.decode(errors="replace")))
    _, status = os.waitpid(child, 0)
    if status != 0:
        sys.exit(f"record: the command failed ({status})")
    return written


class Screen:
    """As much of a terminal as a table that draws over itself needs."""

    def __init__(self):
        self.lines, self.row = [""], 0

    def write(self, text):
        for part in re.findall(r"\x1b\[[0-9;]*[A-Za-z]|\r|\n|[^\x1b\r\n]+", text):
            if part == "\n":
                self.row += 1
                if self.row == len(self.lines):
                    self.lines.append("")
            elif part.startswith("\x1b["):
                self.escape(part[-1], int(part[2:-1] or 1) if part[2:-1].isdigit() or part[2:-1] == "" else 1)
            elif part != "\r":
                self.lines[self.row] += part

    def escape(self, what, number):
        if what in "FA":
            self.row = max(0, self.row - number)
        elif what == "K":
            self.lines[self.row] = ""


def frames_of(written, first):
    """[(seconds, [line, ...])], from where `first` is first seen."""
    screen, frames, begun = Screen(), [], None
    for at, text in written:
        screen.write(text)
        shown = [line[:COLUMNS] for line in screen.lines]
        if begun is None:
            starts = [i for i, line in enumerate(shown) if first in line]
            if not starts:
                continue
            begun, top = at, starts[0]
        if not frames or at - begun - frames[-1][0] >= 0.9:
            frames.append((at - begun, shown[top:]))
        else:
            frames[-1] = (frames[-1][0], shown[top:])
    return frames


def picture(frames, title):
    rows = max(len(lines) for _, lines in frames) + 2
    width, height = COLUMNS * CHAR + 2 * PAD, rows * LINE + 2 * PAD
    total = frames[-1][0] / SPEED + LAST
    css, body = [STYLE], []
    for i, (at, lines) in enumerate(frames):
        begin = 100 * (at / SPEED) / total
        end = 100 * (frames[i + 1][0] / SPEED) / total if i + 1 < len(frames) else 100
        steps = ([f"0%{{visibility:hidden}}"] if begin > 0 else []) + [f"{begin:.2f}%{{visibility:visible}}"]
        if end < 100:
            steps.append(f"{end:.2f}%{{visibility:hidden}}")
        css.append(f"@keyframes f{i}{{{''.join(steps)}}}#f{i}{{animation:f{i} {total:.1f}s step-end infinite}}")
        if i + 1 == len(frames):
            css.append(f"@media(prefers-reduced-motion:reduce){{g{{animation:none!important}}#f{i}{{visibility:visible}}}}")
        text = "".join(f'<text x="{PAD}" y="{PAD + (n + 3) * LINE - 5}">{html.escape(line)}</text>'
                       for n, line in enumerate(lines) if line.strip())
        body.append(f'<g id="f{i}">{text}</g>')
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height}" role="img" '
            f'aria-label="{html.escape(title)}"><style>{"".join(css)}</style>'
            f'<rect x="0.5" y="0.5" width="{width - 1:.0f}" height="{height - 1}" rx="8"/>'
            f'<text x="{PAD}" y="{PAD + LINE - 5}">$ {html.escape(title)}</text>{"".join(body)}</svg>\n')


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    frames = frames_of(capture(sys.argv[2:]), first="one worker owns everything")
    with open(sys.argv[1], "w") as f:
        f.write(picture(frames, " ".join(sys.argv[2:])))


main()
