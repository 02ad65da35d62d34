"""How results travel from a pytest that runs elsewhere to the one that waits for them.

`python -m pytest -p tests.elsewhere.results`, with the file's name in MIREN_TEST_RESULTS, writes
JSON lines; ResultReader reads them as they come.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO, cast

import pytest

FILE = "MIREN_TEST_RESULTS"
"""The environment variable that names the file."""


def pytest_configure(config: pytest.Config) -> None:
    """Called by the pytest elsewhere."""
    if hasattr(config, "workerinput"):  # a worker of pytest-xdist, whose reports go to that pytest
        return
    results = Path(os.environ[FILE]).open("a", encoding="utf-8")  # noqa: SIM115 - open to the end
    config.pluginmanager.register(ResultWriter(config, results))


class ResultWriter:
    """Writes each report, and a line without one when a test is over."""

    def __init__(self, config: pytest.Config, results: TextIO) -> None:
        self._config = config
        self._results = results

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        data = self._config.hook.pytest_report_to_serializable(config=self._config, report=report)
        data.pop("node", None)  # the worker of pytest-xdist, which concerns nobody else
        self._write({"test": report.nodeid, "report": data})

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        self._write({"test": nodeid})

    def _write(self, line: dict[str, object]) -> None:
        self._results.write(json.dumps(line, default=str) + "\n")
        self._results.flush()
        os.fsync(self._results.fileno())  # else it may stay in a VM's memory


class ResultReader:
    """Reads what a ResultWriter writes, while it does."""

    def __init__(self, config: pytest.Config, path: Path) -> None:
        self._config = config
        self._path = path
        self._offset = 0

    def new(self) -> Iterator[tuple[str, pytest.TestReport | None]]:
        """The lines since the last call: a test's node id and a report, or None at its end."""
        if not self._path.exists():
            return
        with self._path.open("rb") as results:
            results.seek(self._offset)
            for line in results:
                if not line.endswith(b"\n"):
                    break
                self._offset += len(line)
                yield self._parse(json.loads(line))

    def _parse(self, line: dict[str, object]) -> tuple[str, pytest.TestReport | None]:
        test = cast("str", line["test"])
        if "report" not in line:
            return test, None
        report: pytest.TestReport = self._config.hook.pytest_report_from_serializable(
            config=self._config, data=line["report"]
        )
        # JSON has no tuples, and pytest wants these to be some.
        if isinstance(report.longrepr, list):
            report.longrepr = tuple(report.longrepr)
        report.user_properties = [(name, value) for name, value in report.user_properties]
        return test, report
