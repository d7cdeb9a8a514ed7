#!/usr/bin/env python3
"""status and checkpoint on groups that official SDKs run, with blobs laid as those lay them."""
import json

from blobs import Blobs
from harness import azurite, check, keyed_lines, run, world

HOST = "localhost"  # of the local hub; a namespace has its own
CLOCK = {"clock": True}


def start(w, group="$default", hub="t", host=HOST):
    """A hub with 100 events and a container; returns the blobs and the prefix of the group."""
    lines, _ = keyed_lines(10, 10)
    w.send_lines(lines, "--key-separator", "|")
    blobs = Blobs(w.env["AZURE_STORAGE_CONNECTION_STRING"])
    check(blobs.make_container() == 201, "no container")
    return blobs, f"{host}/{hub}/{group}"


def status(w, *args):
    out = w.tidemark("status", "--json", *args)
    check(out.returncode == 0, out.stderr)
    return {p["partition"]: p for p in json.loads(out.stdout)["partitions"]}, out.stderr


def listed(w, *args):
    out = w.tidemark("checkpoint", "list", "--json", *args)
    check(out.returncode == 0, out.stderr)
    return {r["partition"]: r for r in map(json.loads, out.stdout.splitlines())}, out.stderr


def checkpoint(w, *args, **kw):
    undo = w.dir / f"undo-{len(list(w.dir.glob('undo-*')))}"
    out = w.tidemark("checkpoint", *args, "--undo", undo, **kw)
    return out, undo


def a_checkpoint_is_really_moved_in_both_ways_and_undone():
    for claims in ("lease", "shared"):
        with world(partitions=2, blobs=True) as w:
            start(w)
            way = ("--claims", claims)
            for to, expected in (("latest", w.last()), ("sequence:3", {"0": 2, "1": 2}), ("sequence:7", {"0": 6, "1": 6}),
                                 ("earliest", {"0": -1, "1": -1})):
                before = w.checkpoints(*way)
                out, undo = checkpoint(w, "set", "--partition", "all", "--to", to, "--execute", *way)
                check(out.returncode == 0, out.stderr)
                check(w.checkpoints(*way) == expected, f"{claims}: set --to {to} gave {w.checkpoints(*way)}")
                if before:
                    out, _ = checkpoint(w, "import", "--execute", *way, input=undo.read_text())
                    check(out.returncode == 0, out.stderr)
                    check(w.checkpoints(*way) == before, f"{claims}: the undo gave {w.checkpoints(*way)}")
                    check(checkpoint(w, "set", "--partition", "all", "--to", to, "--execute", *way)[0].returncode == 0, "again")
            worker = w.worker("a", "--until-end", "--claims", "lease") if claims == "lease" else None
            if worker:
                check(worker.process.wait(40) == 0 and worker.count() == 100, f"{worker.count()} events after 'earliest'")


def the_groups_of_each_official_sdk_are_read_and_moved():
    # partition 0: owned and with a checkpoint; partition 1: given up, without one
    styles = {
        "net": ({"ownerid": "8b7bf8cc-8f58-4a3a-a2b4-7b2f3a5d2c11"},
                {"sequencenumber": "7", "offset": "1000", "clientidentifier": "8b7bf8cc-8f58-4a3a-a2b4-7b2f3a5d2c11"}),
        "net 5.11": ({"ownerid": "x"}, {"sequencenumber": "7", "offset": "no offset", "clientidentifier": ""}),
        "java": ({"ownerid": "java-1"}, {"sequencenumber": "7", "offset": "1000"}),
        "python": ({"ownerid": "py-1"}, {"sequencenumber": "7", "offset": "None"}),
        "js": ({"ownerid": "js-1"}, {"sequencenumber": "7", "offset": "1000"}),
        "go": ({"ownerid": "go-1"}, {"sequencenumber": "7", "offset": "1000"}),
        "cpp": ({"ownerId": "cpp-1"}, {"sequencenumber": "7", "offset": "1000"}),
        "preview": ({"OwnerId": "old-1"}, {"SequenceNumber": "7", "Offset": "1000"}),
        "georeplicated": ({"ownerid": "geo-1"}, {"sequencenumber": "7", "offset": "aAbB:3:1000"}),
    }
    groups = [a for number in range(len(styles)) for a in ("--group", f"g{number}")]
    with world(partitions=2, blobs=CLOCK, hub_args=groups) as w:
        blobs, _ = start(w)
        for number, (name, (ownership, position)) in enumerate(styles.items()):
            group = f"g{number}"
            prefix = f"{HOST}/t/{group}"
            blobs.put(f"{prefix}/ownership/0", ownership)
            blobs.put(f"{prefix}/ownership/1", {"ownerid": ""})
            blobs.put(f"{prefix}/checkpoint/0", position)
            rows, _ = listed(w, "--group", group)
            check(rows["0"]["owner"] == list(ownership.values())[0] and rows["0"]["sequence"] == 7, f"{name}: {rows}")
            check(rows["1"]["owner"] == "" and rows["1"]["sequence"] is None, f"{name}: {rows}")
            if name == "georeplicated":
                check(rows["0"]["offset"] == "aAbB:3:1000", rows)
            out, _ = checkpoint(w, "set", "--group", group, "--partition", "0", "--to", "sequence:3", "--execute")
            check(out.returncode == 1 and "is owned by" in out.stderr, f"{name}: {out.stdout} {out.stderr}")
            check(blobs.meta(f"{prefix}/checkpoint/0") == {k.lower(): v for k, v in position.items()}, f"{name}: changed")
            out, _ = checkpoint(w, "set", "--group", group, "--partition", "1", "--to", "sequence:3", "--execute")
            check(out.returncode == 0, f"{name}: {out.stderr}")
            meta = blobs.meta(f"{prefix}/checkpoint/1")
            check(meta["sequencenumber"] == "2" and meta["offset"] not in ("", None), f"{name}: {meta}")
            check(blobs.meta(f"{prefix}/ownership/1")["ownerid"] == "", f"{name}: the partition was not given back")
            check(not any("tidemark/" in n for n in blobs.names(prefix)), f"{name}: {blobs.names(prefix)}")
        # an owner that died is no owner
        azurite.advance(w.azurite, 180)
        rows, _ = listed(w, "--group", "g0")
        check(rows["0"]["owner"] != "", rows)
        out, undo = checkpoint(w, "set", "--group", "g0", "--partition", "0", "--to", "sequence:3", "--execute")
        check(out.returncode == 0 and "taken for gone" in out.stdout, out.stdout + out.stderr)
        check(listed(w, "--group", "g0")[0]["0"]["sequence"] == 2, "not moved")
        out, _ = checkpoint(w, "import", "--group", "g0", "--execute", input=undo.read_text())
        check(out.returncode == 0 and listed(w, "--group", "g0")[0]["0"]["sequence"] == 7, out.stdout + out.stderr)


def a_fence_takes_the_partition_from_an_official_owner_and_says_what_that_is_worth():
    with world(partitions=1, blobs=True) as w:
        blobs, prefix = start(w)
        blobs.put(f"{prefix}/ownership/0", {"ownerid": "net-1"})
        blobs.put(f"{prefix}/checkpoint/0", {"sequencenumber": "7", "offset": "1000"})
        before = blobs.request("HEAD", blobs.path(f"{prefix}/ownership/0"))[1]["etag"]
        out, undo = checkpoint(w, "set", "--partition", "all", "--to", "sequence:3", "--fence")
        check(out.returncode == 0 and "sequence 7 -> sequence 2 (taken" in out.stdout and "--execute" in out.stdout, out.stdout)
        check(not undo.exists() and blobs.meta(f"{prefix}/checkpoint/0")["sequencenumber"] == "7", "a dry run did something")
        out, undo = checkpoint(w, "set", "--partition", "all", "--to", "sequence:3", "--fence", "--execute")
        check(out.returncode == 0 and "without a condition" in out.stderr, out.stderr)
        check(json.loads(undo.read_text())["sequence"] == 7, undo.read_text())
        # the owner's next renewal, which names what it wrote last, is refused
        status, _, _ = blobs.request("PUT", blobs.path(f"{prefix}/ownership/0"), {"comp": "metadata"},
                                     {"If-Match": before, "x-ms-meta-ownerid": "net-1"})
        check(status == 412, f"the former owner's renewal: {status}")
        check(blobs.meta(f"{prefix}/checkpoint/0")["sequencenumber"] == "2", "not moved")


def letter_case_of_go_and_rust_is_found_and_a_second_fleet_is_told():
    with world(partitions=1, blobs=CLOCK) as w:
        blobs, _ = start(w)
        go = f"{HOST}/t/$Default"  # as spelled in the program
        blobs.put(f"{go}/ownership/0", {"ownerid": "go-1"})
        blobs.put(f"{go}/checkpoint/0", {"sequencenumber": "9", "offset": "1000"})
        rows, said = listed(w)
        check(rows["0"]["sequence"] == 9 and rows["0"]["owner"] == "go-1" and said == "", f"{rows} {said}")
        blobs.put(f"{HOST}/t/$default/ownership/0", {"ownerid": "net-1"})
        blobs.put(f"{HOST}/t/$default/checkpoint/0", {"sequencenumber": "4", "offset": "500"})
        rows, said = listed(w)
        check(rows["0"]["sequence"] == 4 and "two fleets" in said and "$Default" in said, f"{rows} {said}")
        azurite.advance(w.azurite, 180)
        blobs.put(f"{go}/ownership/0", {"ownerid": "go-1"})
        rows, said = listed(w)
        check(rows["0"]["sequence"] == 9 and "$default" in said, f"{rows} {said}")
        # what is moved is moved there
        blobs.put(f"{go}/ownership/0", {"ownerid": ""})
        out, _ = checkpoint(w, "set", "--partition", "all", "--to", "sequence:3", "--execute")
        check(out.returncode == 0, out.stderr)


def status_shows_a_group_of_others_and_damaged_blobs_break_nothing():
    with world(partitions=4, blobs=True) as w:
        blobs, prefix = start(w)
        blobs.put(f"{prefix}/ownership/0", {"ownerid": "js-1"})
        blobs.put(f"{prefix}/checkpoint/0", {"sequencenumber": "2", "offset": "64"})
        blobs.put(f"{prefix}/checkpoint/1", {"sequencenumber": "None", "offset": "None"})
        blobs.put(f"{prefix}/ownership/1", {})
        blobs.put(f"{prefix}/ownership/2", {"ownerid": "py-1", "other": "thing"})
        blobs.put(f"{prefix}/checkpoint/sub/3", {"sequencenumber": "1", "offset": "1"})
        blobs.put(f"{prefix}/checkpoint/x y", {"sequencenumber": "1", "offset": "1"})
        blobs.put("EventHubs/t/$Default/0", {}, b'{"PartitionId":"0","Offset":"1","SequenceNumber":5}')
        rows, _ = status(w)
        check(rows["0"]["owner"] == "js-1" and rows["0"]["checkpoint"] == 2, rows)
        check(rows["1"]["owner"] is None and rows["1"]["checkpoint"] is None, rows)
        check(rows["2"]["owner"] == "py-1" and rows["3"]["checkpoint"] is None, rows)
        exported = w.tidemark("checkpoint", "export").stdout
        check(len(exported.splitlines()) == 4, exported)
        out, _ = checkpoint(w, "delete", "--partition", "1", "--execute")
        check(out.returncode == 0, out.stderr)
        check(blobs.meta(f"{prefix}/checkpoint/1") is None and blobs.meta(f"{prefix}/checkpoint/0"), blobs.names())


def checkpoints_of_the_event_processor_host_are_imported():
    with world(partitions=4, blobs=True) as w:
        start(w)
        facts = {p: s for p, s in w.last().items()}
        old = [{"PartitionId": "0", "Owner": "h", "Token": "x", "Epoch": 3, "Offset": "1024", "SequenceNumber": 5},
               {"partition_id": "1", "sequence_number": 6, "offset": "77", "epoch": 1, "owner_id": "p"},
               {"PartitionId": "2", "Offset": None, "SequenceNumber": 0},
               {"PartitionId": "3", "Offset": None, "SequenceNumber": 4}]
        text = "".join(json.dumps(o) + "\n" for o in old)
        out, _ = checkpoint(w, "import", input=text)
        check(out.returncode == 0 and "3 would be changed" in out.stdout, out.stdout + out.stderr)
        out, _ = checkpoint(w, "import", "--execute", input=text)
        check(out.returncode == 0, out.stdout + out.stderr)
        rows, _ = listed(w)
        check([rows[p]["sequence"] for p in "0123"] == [5, 6, None, 4], rows)
        check(rows["0"]["offset"] == "1024" and rows["1"]["offset"] == "77", rows)
        check(facts["3"] < 4 or rows["3"]["offset"] not in ("-1", ""), f"no offset was found: {rows} {facts}")
        out, _ = checkpoint(w, "import", input='{"PartitionId":"99","SequenceNumber":1}\n')
        check(out.returncode == 1 and "no such partition" in out.stderr, out.stderr)
        out, _ = checkpoint(w, "import", input="{torn\n")
        check(out.returncode == 1 and "line 1" in out.stderr, out.stderr)


def unlock_leaves_living_owners_alone_in_both_ways():
    with world(partitions=2, blobs=CLOCK) as w:
        blobs, prefix = start(w)
        blobs.put(f"{prefix}/ownership/0", {"ownerid": "net-1"})
        blobs.put(f"{prefix}/checkpoint/0", {"sequencenumber": "7", "offset": "1000"})
        out, _ = checkpoint(w, "unlock", "--execute")
        check(out.returncode == 0 and "left alone" in out.stdout and blobs.meta(f"{prefix}/ownership/0")["ownerid"] == "net-1",
              out.stdout)
        azurite.advance(w.azurite, 180)
        out, _ = checkpoint(w, "unlock", "--execute")
        check(out.returncode == 0 and blobs.meta(f"{prefix}/ownership/0")["ownerid"] == "", out.stdout + out.stderr)
        check(blobs.meta(f"{prefix}/checkpoint/0")["sequencenumber"] == "7", "the checkpoint has changed")


if __name__ == "__main__":
    run(a_checkpoint_is_really_moved_in_both_ways_and_undone, the_groups_of_each_official_sdk_are_read_and_moved,
        a_fence_takes_the_partition_from_an_official_owner_and_says_what_that_is_worth,
        letter_case_of_go_and_rust_is_found_and_a_second_fleet_is_told,
        status_shows_a_group_of_others_and_damaged_blobs_break_nothing,
        checkpoints_of_the_event_processor_host_are_imported,
        unlock_leaves_living_owners_alone_in_both_ways)
