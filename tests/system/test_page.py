#!/usr/bin/env python3
"""The page of consume --http in headless Chromium: it tells the truth, lives, and fits light, dark and a phone.

TIDEMARK_PICTURES names a folder for the pictures.
"""
import os
import pathlib
import sys

from harness import ROOT, check, run, wait_for, world
from http_worker import address_of, fetch

sys.path.insert(0, str(ROOT / "tests/support"))
import browser  # noqa: E402

# Contrast of each text with what lies behind it, as WCAG computes it; the smallest comes first.
CONTRAST = """(() => {
  const rgb = c => { const m = c.match(/[\\d.]+/g).map(Number); return m.length < 4 ? [...m, 1] : m; };
  const light = c => { const f = c.slice(0, 3).map(v => (v /= 255) <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
    return .2126 * f[0] + .7152 * f[1] + .0722 * f[2]; };
  const behind = e => { for (; e; e = e.parentElement) { const c = rgb(getComputedStyle(e).backgroundColor); if (c[3] > 0) return c; }
    return [255, 255, 255]; };
  const found = [];
  for (const e of document.querySelectorAll('body *')) {
    if (![...e.childNodes].some(n => n.nodeType === 3 && n.data.trim()) || e.closest('script,style') || !e.offsetParent) continue;
    const a = light(rgb(getComputedStyle(e).color)), b = light(behind(e));
    found.push([(Math.max(a, b) + .05) / (Math.min(a, b) + .05), e.id || e.className || e.tagName, e.textContent.slice(0, 30)]);
  }
  return found.sort((x, y) => x[0] - y[0]).slice(0, 3);
})()"""


def picture(b, w, name):
    folder = pathlib.Path(os.environ.get("TIDEMARK_PICTURES", w.dir))
    b.picture(folder / f"{name}.png")
    check((folder / f"{name}.png").stat().st_size > 10000, "an empty picture")


def fits(b, what):
    wide = b.run("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    check(wide <= 0, f"{what}: the page is {wide} pixels wider than the window")
    smallest = b.run(CONTRAST)
    check(smallest and smallest[0][0] >= 4.5, f"{what}: too little contrast: {smallest}")


def the_page_shows_partitions_live_in_light_dark_and_on_a_phone():
    with world(partitions=8) as w:
        mine = w.worker("worker-a", "--http", "127.0.0.1:0", "--retention", "1h", "--work", "2ms", "--order", "key")
        address = address_of(mine)
        w.worker("worker-b", "--work", "2ms")
        w.all_owned(["worker-a", "worker-b"])
        lines = [f"k{i % 64}|value {i}\n" for i in range(9000)]
        sender = w.sender(lines, "--key-separator", "|", "--rate", "900")
        b = browser.Browser()
        try:
            b.view(1180, 900)
            b.open(f"http://{address}/")
            wait_for("a rate on the page", lambda: b.run("Number(document.body.dataset.looks) > 4 && parseFloat(document.getElementById('rate').textContent) > 0"))
            cells = b.run("[...document.querySelectorAll('#rows tr')].map(r => [...r.children].map(c => c.textContent))")
            check([c[0] for c in cells] == [str(i) for i in range(8)], cells)
            owners = {p: o for o in ("worker-a", "worker-b") for p in next(x for x in w.workers if x.name == o).owned()}
            check({c[0]: c[1].partition("~")[0] for c in cells} == owners, f"owners: {cells}, journals: {owners}")
            check(b.run("document.getElementById('state').textContent") == "ready", "not ready")
            check(b.run("document.querySelectorAll('#recent li').length") > 3, "nothing has happened")
            before = b.run("document.getElementById('foot').textContent")
            wait_for("the page to go on", lambda: b.run("document.getElementById('foot').textContent") != before)
            for name, width, height, dark, scale in (("light", 1180, 900, False, 1), ("dark", 1180, 900, True, 1),
                                                     ("phone", 390, 844, False, 2), ("phone-dark", 390, 844, True, 2),
                                                     ("narrow", 320, 640, False, 2)):
                b.view(width, height, dark, scale)
                b.run("new Promise(r => requestAnimationFrame(() => requestAnimationFrame(r)))")
                fits(b, name)
                picture(b, w, name)
            check(not b.complaints(), b.complaints())
            w.hub.kill()  # its lag cannot be asked any more: the page stays, the worker lives
            sender.kill()
            check(fetch(address, "/healthz")[0] == 200, "not alive without the hub")
            check(mine.process.poll() is None, "the worker has ended")
            mine.kill()
            wait_for("the page to say that nobody answers",
                     lambda: b.run("document.getElementById('state').textContent") == "no answer")
            b.view(1180, 900)
            fits(b, "no answer")
            picture(b, w, "gone")
        finally:
            b.close()


def what_others_write_is_text_on_the_page():
    with world(partitions=2) as w:
        name = "<img/src=x/onerror=document.title='owned'>"
        mine = w.worker("worker", "--http", "127.0.0.1:0", "--owner-id", name)
        b = browser.Browser()
        try:
            b.open(f"http://{address_of(mine)}/")
            wait_for("the owner on the page", lambda: b.run("document.querySelectorAll('#rows td.owner').length == 2 && document.querySelector('#rows td.owner').textContent.includes('<img')"))
            check(b.run("document.images.length") == 0, "an element was made of a name")
            check("owned" not in b.run("document.title"), "a script of a name has run")
        finally:
            b.close()


if __name__ == "__main__":
    if not browser.path():
        print("1..0 # SKIP there is no Chromium; ./run setup installs it")
        sys.exit(0)
    run(the_page_shows_partitions_live_in_light_dark_and_on_a_phone, what_others_write_is_text_on_the_page)
