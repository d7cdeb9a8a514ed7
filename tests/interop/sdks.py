"""The official SDKs with their processors, installed into a folder by their languages' own clients; versions are pinned
here, and beside the sources of sdk_go and sdk_java. What a function returns is a command that its arguments follow."""
import pathlib
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
PYTHON = ("azure-eventhub==5.15.1", "azure-eventhub-checkpointstoreblob==1.2.0")


class Missing(Exception):
    """It cannot be installed on this machine, and why."""


def call(*args, **kw):
    try:
        done = subprocess.run([str(a) for a in args], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              timeout=1200, check=False, **kw)
    except FileNotFoundError as e:
        raise Missing(f"there is no {args[0]} on this machine") from e
    if done.returncode:
        raise Missing(f"{args[0]} failed: {done.stdout.strip()[-300:]}")


def folder(home, name, pins):
    """Of one SDK, empty if it was made by other pins; what is to be called when it is whole; None: it is whole."""
    place, stamp = home / name, home / name / "installed"
    if stamp.exists() and stamp.read_text() == pins:
        return place, None
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    return place, lambda: stamp.write_text(pins)


def python(home, program):
    place, whole = folder(home, "python", "\n".join(PYTHON))
    if whole:
        call(sys.executable, "-m", "venv", place / "venv")
        call(place / "venv/bin/pip", "install", "-q", *PYTHON)
        whole()
    return [place / "venv/bin/python", HERE / f"sdk_{program}.py"]


def go(home, program):
    place = home / "go"
    shutil.copytree(HERE / "sdk_go", place, dirs_exist_ok=True)
    call("go", "build", "-o", program + ".out", "." if program == "worker" else f"./{program}", cwd=place)
    return [place / f"{program}.out"]


def java(home, program):
    pom = HERE / "sdk_java/pom.xml"
    place, whole = folder(home, "java", pom.read_text())
    if whole:
        shutil.copy(pom, place)
        call("mvn", "-B", "-q", f"-Dmaven.repo.local={place / 'm2'}", "dependency:build-classpath",
             "-Dmdep.outputFile=classpath", cwd=place)
        whole()
    libraries, name = (place / "classpath").read_text().strip(), program.capitalize()
    call("javac", "-cp", libraries, "-d", place / "classes", HERE / f"sdk_java/{name}.java")
    return ["java", "-cp", f"{place / 'classes'}:{libraries}", name]
