"""Programs: where those are that scripts/go-program builds, and how to run one."""

import functools
import subprocess
import sys
from pathlib import Path

from tests.lvm.vm import ROOT

KUBECTL_MIREN = str(Path(sys.executable).with_name("kubectl-miren"))


def folder_with(folder: Path, name: str) -> Path:
    """Make a folder in which a program has its plain name; returns it."""
    folder.mkdir(parents=True)
    (folder / name).symlink_to(go_program(name))
    return folder


@functools.cache
def go_program(name: str) -> Path:
    """The path of a program; builds it first when the cache has none, which takes minutes."""
    script = ROOT / "scripts" / "go-program"
    return Path(
        subprocess.run([script, name], stdout=subprocess.PIPE, check=True, text=True).stdout.strip()
    )


def run(*command: str | Path) -> str:
    """Run a program to its end; returns what it printed, raises OSError with that if it failed."""
    ended = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if ended.returncode != 0:
        raise OSError(f"{' '.join(map(str, command))}:\n{ended.stdout[-4000:]}")
    return ended.stdout.strip()
