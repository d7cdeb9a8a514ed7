"""Azurite, Microsoft's emulator of Azure Storage, as a child: for the demo and the system tests."""
import pathlib
import re
import subprocess

PROGRAM = pathlib.Path(__file__).resolve().parent.parent / "tests/interop/node_modules/azurite/dist/src/blob/main.js"
ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


def start():
    """The process and its connection string; None, None where it does not start."""
    process = subprocess.Popen(["node", str(PROGRAM), "--blobHost", "127.0.0.1", "--blobPort", "0", "--silent",
                                "--inMemoryPersistence", "--disableTelemetry", "--skipApiVersionCheck"],
                               stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    for line in process.stdout:
        place = re.search(r"successfully listens on http://127\.0\.0\.1:(\d+)", line)
        if place:
            return process, (f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={KEY};"
                             f"BlobEndpoint=http://127.0.0.1:{place[1]}/{ACCOUNT}")
    process.wait()
    return None, None
