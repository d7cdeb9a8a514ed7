#!/usr/bin/env python3
"""What Azurite answers, line by line of tests/contract/status_matrix.txt: the ground on which the store's tests stand."""
import concurrent.futures

from blobs import Blobs
from harness import ROOT, Skipped, azurite, check, run

TABLE = ROOT / "tests/contract/status_matrix.txt"
ID, OTHER = "11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222"
NEW = {"x-ms-blob-type": "BlockBlob", "x-ms-meta-ownerid": "o"}
SET = {"x-ms-meta-ownerid": "n"}
META = {"comp": "metadata"}


class Box(Blobs):
    """A container of its own for each situation, with a blob "b"."""

    def __init__(self, text, number):
        super().__init__(text, f"box{number}")
        self.make_container()
        self.put("b", {"ownerid": "o"})

    def ask(self, method, name="b", query=None, headers=None, body=b""):
        status, headers, _ = self.request(method, self.path(name), query, headers, body)
        code = headers.get("x-ms-error-code", "")
        return f"{status} {code}".strip()

    def etag(self):
        return self.request("HEAD", self.path("b"))[1]["etag"]

    def leased(self, action, lease_id=ID, **more):
        headers = {"x-ms-lease-action": action, "x-ms-lease-id": lease_id, **more}
        if action == "acquire":
            headers = {"x-ms-lease-action": action, "x-ms-lease-duration": "-1", "x-ms-proposed-lease-id": lease_id}
        return self.ask("PUT", "b", {"comp": "lease"}, headers)

    def at_once(self, headers, query, name):
        with concurrent.futures.ThreadPoolExecutor(32) as pool:
            answers = list(pool.map(lambda _: self.ask("PUT", name, query, headers), range(32)))
        return ", ".join(f"{answers.count(a)} x {a}" for a in sorted(set(answers)))

    def listed(self, maximum):
        status, headers, _ = self.request("GET", f"{self.base}/{self.container}",
                                          {"restype": "container", "comp": "list", "maxresults": maximum})
        return f"{status} {headers.get('x-ms-error-code', '')}".strip()


def held(box, headers):
    box.leased("acquire")
    return box.ask("PUT", "b", META, {**SET, **headers})


def changed(box, *ids):
    box.leased("acquire")
    return [box.leased("change", i, **{"x-ms-proposed-lease-id": OTHER}) for i in ids][-1]


def twice(box, method):
    box.ask(method)
    return box.ask(method)


def bad_key(box):
    box.key = b"wrong"
    return box.ask("HEAD")


def in_container(box, name):
    box.container = name
    return box.ask("PUT", "b", None, NEW)


def stale(box, headers=None):
    old = box.etag()
    box.ask("PUT", "b", META, SET)
    return box.ask("PUT", "b", META, {**SET, "If-Match": old, **(headers or {})})


def stale_and_held(box):
    old = box.etag()
    box.ask("PUT", "b", META, SET)
    return held(box, {"If-Match": old})


CASES = {
    "put if-none-match *, exists": lambda b: b.ask("PUT", "b", None, {**NEW, "If-None-Match": "*"}),
    "put if-none-match *, absent": lambda b: b.ask("PUT", "new", None, {**NEW, "If-None-Match": "*"}),
    "32 puts if-none-match * at once": lambda b: b.at_once({**NEW, "If-None-Match": "*"}, None, "new"),
    "set if-match stale": stale,
    "32 sets of one if-match at once": lambda b: b.at_once({**SET, "If-Match": b.etag()}, META, "b"),
    "set if-match, blob absent": lambda b: b.ask("PUT", "new", META, {**SET, "If-Match": b.etag()}),
    "set without condition, blob absent": lambda b: b.ask("PUT", "new", META, SET),
    "set if-none-match *, exists": lambda b: b.ask("PUT", "b", META, {**SET, "If-None-Match": "*"}),
    "put if-match *, absent": lambda b: b.ask("PUT", "new", None, {**NEW, "If-Match": "*"}),
    "set if-match weak": lambda b: b.ask("PUT", "b", META, {**SET, "If-Match": "W/" + b.etag()}),
    "set if-match unquoted": lambda b: b.ask("PUT", "b", META, {**SET, "If-Match": b.etag().strip('"')}),
    "if-match of two tags": lambda b: b.ask("PUT", "b", META, {**SET, "If-Match": f'{b.etag()},"0x1"'}),
    "container absent": lambda b: in_container(b, "nothing-here"),
    "put without blob type": lambda b: b.ask("PUT", "b", None, SET),
    "lease held, write without id": lambda b: held(b, {}),
    "lease held, write with another id": lambda b: held(b, {"x-ms-lease-id": OTHER}),
    "no lease, write with an id": lambda b: b.ask("PUT", "b", META, {**SET, "x-ms-lease-id": ID}),
    "acquire, another holds it": lambda b: (b.leased("acquire"), b.leased("acquire", OTHER))[1],
    "acquire again with the same id": lambda b: (b.leased("acquire"), b.leased("acquire"))[1],
    "renew with another id": lambda b: (b.leased("acquire"), b.leased("renew", OTHER))[1],
    "change with another id": lambda b: changed(b, "33333333-3333-4333-8333-333333333333"),
    "change done before": lambda b: changed(b, ID, ID),
    "break, no lease": lambda b: b.ask("PUT", "b", {"comp": "lease"}, {"x-ms-lease-action": "break"}),
    "stale if-match and no lease id": stale_and_held,
    "head, absent": lambda b: b.ask("HEAD", "new"),
    "get if-none-match current": lambda b: b.ask("GET", "b", None, {"If-None-Match": b.etag()}),
    "delete": lambda b: b.ask("DELETE"),
    "delete again": lambda b: twice(b, "DELETE"),
    "list, maxresults 0": lambda b: b.listed("0"),
    "list, maxresults above 5000": lambda b: b.listed("9999"),
    "container name too short": lambda b: in_container(b, "no"),
    "bad signature": bad_key,
    "metadata name invalid": lambda b: b.ask("PUT", "b", META, {"x-ms-meta-1bad": "x"}),
}


def rows():
    lines = [line for line in TABLE.read_text().splitlines() if line and not line.startswith("#")]
    return [[part.strip() for part in line.split("|")] for line in lines]


def every_line_of_the_table_is_as_azurite_answers():
    if not azurite.installed():
        raise Skipped("Azurite is not installed: './run setup' does it")
    process, text = azurite.start()
    wrong = []
    try:
        for number, (situation, expected, _) in enumerate(rows()):
            if expected == "-":
                check(situation not in CASES, f"'{situation}' can be tried after all")
                continue
            check(situation in CASES, f"nobody tries '{situation}'")
            got = CASES[situation](Box(text, number))
            if got != expected:
                wrong.append(f"{situation}: {got}, not {expected}")
        check(set(CASES) <= {r[0] for r in rows()}, f"not in the table: {set(CASES) - {r[0] for r in rows()}}")
        check(not wrong, "; ".join(wrong))
    finally:
        process.kill()
        process.wait()


if __name__ == "__main__":
    run(every_line_of_the_table_is_as_azurite_answers)
