#!/usr/bin/env python3
"""An official SDK other than the JavaScript one against tidemark-hub: run_sdk.py LANGUAGE HUB_PROGRAM FOLDER [TESTS].

Installs the SDK into FOLDER by its language's own client (versions are pinned beside the test), starts two hubs, one plain
and one with TLS, and runs the test, which prints TAP. What it needs to know is in its environment:

  SDK_PLAIN  SDK_CONTROL   a connection string, and where faults are set
  SDK_TLS    SDK_PORT      a connection string of the hub with TLS (without its port), and the port
  SDK_WSS                  ADDR:PORT of its WebSocket in TLS
  SDK_CA                   its certificate
"""
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent


def skip(why):
    print(f"1..0 # SKIP {why}")
    sys.exit(0)


def need(*programs):
    for p in programs:
        if shutil.which(p) is None:
            skip(f"there is no {p} on this machine")


def install(command, **kw):
    run = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=900, check=False, **kw)
    if run.returncode:
        for line in run.stdout.splitlines()[-5:]:
            print("#", line)
        skip(f"the SDK could not be installed by {command[0]}")


def unchanged(folder, *files):
    """Whether what was installed in the folder was made from these files."""
    stamp, now = folder / "installed", "".join(f.read_text() for f in files)
    same = stamp.exists() and stamp.read_text() == now
    return same, lambda: stamp.write_text(now)


def python(folder):
    pins = HERE / "python/requirements.txt"
    same, done = unchanged(folder, pins)
    if not same:
        shutil.rmtree(folder / "venv", ignore_errors=True)
        install([sys.executable, "-m", "venv", str(folder / "venv")])
        install([str(folder / "venv/bin/pip"), "install", "--quiet", "-r", str(pins)])
        done()
    return [str(folder / "venv/bin/python"), str(HERE / "python/hub_test.py")]


def go(folder):
    need("go")
    for f in (HERE / "go").iterdir():
        shutil.copy(f, folder)
    install(["go", "mod", "download", "github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2", "github.com/coder/websocket"],
            cwd=folder)
    subprocess.run(["go", "build", "-o", "hub_test", "."], cwd=folder, check=True)
    return [str(folder / "hub_test")]


def java(folder):
    need("java", "javac", "mvn", "keytool")
    pom = HERE / "java/pom.xml"
    same, done = unchanged(folder, pom)
    if not same:
        shutil.copy(pom, folder)
        install(["mvn", "-B", "-q", f"-Dmaven.repo.local={folder / 'm2'}", "dependency:build-classpath",
                 "-Dmdep.outputFile=classpath"], cwd=folder)
        done()
    classpath = (folder / "classpath").read_text().strip()
    subprocess.run(["javac", "-cp", classpath, "-d", str(folder / "classes"), str(HERE / "java/HubTest.java")], check=True)
    store = folder / "trust"
    store.unlink(missing_ok=True)
    install(["keytool", "-importcert", "-noprompt", "-alias", "hub", "-file", os.environ["SDK_CA"], "-keystore", str(store),
             "-storepass", "changeit"])
    return ["java", f"-Djavax.net.ssl.trustStore={store}", "-Djavax.net.ssl.trustStorePassword=changeit", "-cp",
            f"{folder / 'classes'}:{classpath}", "HubTest"]


def start(program, *args):
    hub = subprocess.Popen([program, "--hub", "hub:4", "--control", "127.0.0.1:0", *args], stdout=subprocess.PIPE, text=True)
    return hub, json.loads(hub.stdout.readline())


def main(language, program, folder, *wanted):
    folder = pathlib.Path(folder).resolve() / language
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="tidemark-sdk-") as temp:
        cert, key = f"{temp}/cert.pem", f"{temp}/key.pem"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout",
                        key, "-out", cert, "-days", "2", "-subj", "/CN=localhost", "-addext",
                        "subjectAltName=DNS:localhost,IP:127.0.0.1"], check=True, capture_output=True)
        os.environ["SDK_CA"] = cert
        command = {"python": python, "go": go, "java": java}[language](folder)
        hubs = []
        try:
            plain, ready = start(program)
            hubs.append(plain)
            tls, secure = start(program, "--tls-cert", cert, "--tls-key", key, "--websocket", "127.0.0.1:0")
            hubs.append(tls)
            text = secure["connection_string"].replace(";UseDevelopmentEmulator=true", "")
            env = {**os.environ, "SDK_PLAIN": ready["connection_string"], "SDK_CONTROL": ready["control"],
                   "SDK_TLS": re.sub(r"localhost:\d+", "localhost", text), "SDK_PORT": secure["amqp"].rpartition(":")[2],
                   "SDK_WSS": secure["websocket"]}
            return subprocess.run([*command, *wanted], env=env, timeout=200, check=False).returncode
        finally:
            for h in hubs:
                h.terminate()
                h.wait(10)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
