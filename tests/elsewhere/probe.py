"""A project with the machinery of these tests and other tests, to see what pytest makes of it."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.lvm.vm import ROOT

_MACHINERY = ("__init__.py", "conftest.py", "cluster", "elsewhere", "lvm")


class Probe:
    """Such a project, in a new folder."""

    def __init__(self, folder: Path, tests: Mapping[str, str]) -> None:
        """Args: tests: the modules, by their places below tests/."""
        self._folder = folder
        shutil.copy(ROOT / "pyproject.toml", folder)
        shutil.copytree(ROOT / "scripts", folder / "scripts")
        (folder / "tests").mkdir()
        for name in _MACHINERY:
            subprocess.run(["cp", "-r", ROOT / "tests" / name, folder / "tests"], check=True)
        for test in (folder / "tests").rglob("test_*.py"):
            test.unlink()
        for place, text in tests.items():
            module = folder / "tests" / place
            module.parent.mkdir(exist_ok=True)
            module.write_text(text)

    def run(self, *words: str) -> list[str]:
        """Run pytest with these arguments; returns the lines that it prints."""
        command = [sys.executable, "-m", "pytest", "-v", "-p", "no:cacheprovider", *words]
        ended = subprocess.run(
            command,
            cwd=self._folder,
            env={**os.environ, "TMPDIR": str(self._folder)},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert not ended.stderr
        return ended.stdout.splitlines()


def outcomes(lines: list[str], test: str) -> list[str]:
    """How a test has ended, by its node id: one word for each time that it ran."""
    return [line.split()[1] for line in lines if line.startswith(f"{test} ")]
