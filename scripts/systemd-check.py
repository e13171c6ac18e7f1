"""Runs the program under the system call filter of deploy/systemd/driftwise.service, through an audit, a reload and a stop.

    /usr/bin/python3 scripts/systemd-check.py PROGRAM

The unit answers a call outside its filter with EPERM, which could go unnoticed. Here such a call kills the program. Needs the
Debian packages python3-seccomp and systemd.
"""

import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import seccomp

ROOT = pathlib.Path(__file__).resolve().parent.parent


def members(group):
    """The system calls of a group such as @system-service, with those of the groups in it."""
    listing = subprocess.run(["systemd-analyze", "syscall-filter", "--no-pager", group], check=True, capture_output=True, text=True)
    for line in listing.stdout.splitlines()[1:]:
        word = line.strip()
        if word.startswith("@"):
            yield from members(word)
        elif word and not word.startswith("#"):
            yield word


def allowed():
    """The system calls that the unit allows: its first lines name them, and those with ~ remove some."""
    calls = set(members("@default"))
    for line in (ROOT / "deploy/systemd/driftwise.service").read_text().splitlines():
        if line.startswith("SystemCallFilter="):
            groups = line.removeprefix("SystemCallFilter=")
            listed = {call for group in groups.lstrip("~").split() for call in members(group)}
            calls = calls - listed if groups.startswith("~") else calls | listed
    assert len(calls) > 100, calls
    return calls


def confine():
    confined = seccomp.SyscallFilter(seccomp.KILL_PROCESS)
    for call in ALLOWED:
        try:
            confined.add_rule(seccomp.ALLOW, call)
        except RuntimeError:
            pass  # not a call of this processor
    confined.load()


def until(what, ask, daemon):
    end = time.monotonic() + 60
    while not ask():
        assert daemon.poll() is None, f"ended with {daemon.returncode} before {what} (-31: a call outside the filter)"
        assert time.monotonic() < end, f"no {what} within a minute"
        time.sleep(0.1)


def main(program):
    with tempfile.TemporaryDirectory() as folder:
        for name in ("quickstart.yaml", "quickstart-sessions.csv"):
            shutil.copy(ROOT / "config" / name, folder)
        config = pathlib.Path(folder, "quickstart.yaml")
        config.write_text(config.read_text().replace("127.0.0.1:9464", "127.0.0.1:0"))
        # As an unprivileged user, like the unit: as root, SQLite gives its files to the owner of the database.
        user = 65534 if os.getuid() == 0 else None
        if user:
            os.chown(folder, user, user)
        command = [program, "run", "--config", str(config), "--log-format", "json"]
        with pathlib.Path(folder, "log").open("w+") as log:
            daemon = subprocess.Popen(command, preexec_fn=confine, user=user, group=user, cwd=folder, stderr=log)
            read = lambda: pathlib.Path(folder, "log").read_text()
            try:
                until("a mail", lambda: any(pathlib.Path(folder, "mail").glob("*.eml")), daemon)
                daemon.send_signal(signal.SIGHUP)
                until("a reload", lambda: "reloaded the configuration" in read(), daemon)
                daemon.terminate()
                assert daemon.wait(15) == 0, daemon.returncode
            except BaseException:
                print(read(), file=sys.stderr)
                raise
            finally:
                if daemon.poll() is None:
                    daemon.kill()
    print(f"the program needs none but the {len(ALLOWED)} system calls that the unit allows")


ALLOWED = allowed()
main(os.path.abspath(sys.argv[1]))
