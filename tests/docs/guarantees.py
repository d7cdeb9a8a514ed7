#!/usr/bin/env python3
"""Each test that docs/GUARANTEES.md names exists, and each guarantee names some.

usage: guarantees.py SOURCE_FOLDER
"""
import pathlib, re, sys

root = pathlib.Path(sys.argv[1])
text = (root / "docs/GUARANTEES.md").read_text()
parts = re.split(r"^## (G\d+) .*$", text, flags=re.M)[1:]
print("1..12")
found = [parts[i] for i in range(0, len(parts), 2)]
print("ok 1 - all eleven" if found == [f"G{n}" for n in range(1, 12)] else f"not ok 1 - {found}")
for number, (name, body) in enumerate(zip(parts[::2], parts[1::2]), 2):
    named = re.findall(r"`(tests/[\w/.]+): (\w+)`", body)
    missing = [f"{file}: {test}" for file, test in named
               if not (root / file).is_file()
               or not re.search(rf"\b{test}\b", (root / file).read_text())]
    good = len(named) >= 2 and not missing
    print(f"{'' if good else 'not '}ok {number} - {name} names {len(named)} tests"
          + "".join(f"\n# missing {m}" for m in missing))
