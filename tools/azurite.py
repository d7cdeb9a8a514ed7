"""Azurite, Microsoft's emulator of Azure Storage, as a child: for the demo and the system tests."""
import pathlib
import re
import subprocess

ROOT = pathlib.Path(__file__).resolve().parent.parent
PROGRAM = ROOT / "tests/interop/node_modules/azurite/dist/src/blob/main.js"
CLOCK = ROOT / "tests/support/azurite_clock.cjs"
ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


def installed():
    return PROGRAM.exists()


def start(clock=False, port=0, folder=None, args=()):
    """The process and its connection string; None, None where it does not start.

    clock: advance() moves its clock. folder: keeps its blobs there, so that it can be started again.
    """
    where = ["--location", str(folder)] if folder else ["--inMemoryPersistence"]
    process = subprocess.Popen(["node", *(["--require", str(CLOCK)] if clock else []), str(PROGRAM), "--blobHost",
                                "127.0.0.1", "--blobPort", str(port), "--silent", *where, "--disableTelemetry",
                                "--skipApiVersionCheck", *args],
                               stdin=subprocess.PIPE if clock else subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.DEVNULL, text=True)
    for line in process.stdout:
        place = re.search(r"successfully listens on (https?)://127\.0\.0\.1:(\d+)", line)
        if place:
            return process, (f"DefaultEndpointsProtocol={place[1]};AccountName={ACCOUNT};AccountKey={KEY};"
                             f"BlobEndpoint={place[1]}://127.0.0.1:{place[2]}/{ACCOUNT}")
    process.wait()
    return None, None


def advance(process, seconds):
    """Moves the clock of an Azurite that was started with one."""
    process.stdin.write(f"advance {int(seconds * 1000)}\n")
    process.stdin.flush()
    for line in process.stdout:
        if line == "advanced\n":
            return
