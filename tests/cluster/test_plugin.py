"""Tests on the clusters are pytest's own: counted, selected and shown like any others.

The clusters of this probe are none: only where tests run is of interest here.
"""

import pytest

from tests.elsewhere.probe import Probe, outcomes

_FIRST = """
import os
import pytest

@pytest.fixture(scope="session")
def kubernetes(cluster_pool):
    return os.getpid()

def test_here(kubernetes, record_property):
    record_property("summary", f"pid {kubernetes}")

def test_and_here(kubernetes, record_property):
    record_property("summary", f"pid {kubernetes}")
"""
_SECOND = f"""{_FIRST}
def test_begins(kubernetes, pytestconfig):
    (pytestconfig.rootpath / "second-began").touch()

def test_that_fails(kubernetes):
    print("seen inside")
    assert not kubernetes, "told why"

@pytest.mark.skip(reason="not today")
def test_of_another_day(kubernetes):
    raise AssertionError

def test_without_a_cluster(record_property):
    record_property("summary", f"pid {{os.getpid()}}")

def test_that_ends_all(kubernetes):
    os._exit(3)

def test_after_the_end(kubernetes):
    pass

def test_long_after_the_end(kubernetes):
    pass
"""

_OF_VMS = f"""{_FIRST}
pytestmark = pytest.mark.pools("lvm")
"""

# Runs before all that want a cluster are waited for.
_MEANWHILE = """
import os
import time

def test_is_not_waited_for(pytestconfig):
    began = pytestconfig.rootpath / "second-began"
    deadline = time.monotonic() + 60
    while not began.exists():
        assert time.monotonic() < deadline, "the clusters wait for others"
        time.sleep(0.05)

def test_own_process(record_property):
    record_property("summary", f"pid {os.getpid()}")
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Probe:
    """A project with the probe as its only tests."""
    tests = {
        "cluster/test_first.py": _FIRST,
        "cluster/test_second.py": _SECOND,
        "cluster/test_vms.py": _OF_VMS,
        "elsewhere/test_meanwhile.py": _MEANWHILE,
    }
    return Probe(tmp_path_factory.mktemp("project"), tests)


@pytest.fixture(scope="module")
def session(project: Probe) -> list[str]:
    """What pytest prints."""
    return project.run("--clusters=2")


def _summaries(session: list[str]) -> dict[str, str]:
    lines = (line.split(": ") for line in session if ": pid " in line)
    return {name.rpartition("/")[2].partition("[")[0]: value for name, value in lines}


def test_each_module_has_a_cluster_in_another_process(session: list[str]) -> None:
    pids = _summaries(session)

    modules = ("test_first.py", "test_second.py", "test_vms.py")
    there = [pids[f"{module}::test_here"] for module in modules]
    assert there == [pids[f"{module}::test_and_here"] for module in modules]
    here = pids["test_meanwhile.py::test_own_process"]
    assert len({*there, here}) == 4
    assert pids["test_second.py::test_without_a_cluster"] == here


@pytest.mark.parametrize(
    ("test", "outcome"),
    [
        ("test_first.py::test_here[loop]", "PASSED"),
        ("test_second.py::test_here[loop]", "PASSED"),
        ("test_second.py::test_that_fails[loop]", "FAILED"),
        ("test_second.py::test_of_another_day[loop]", "SKIPPED"),
        ("test_second.py::test_that_ends_all[loop]", "FAILED"),
        ("test_second.py::test_after_the_end[loop]", "FAILED"),
        ("test_vms.py::test_here[lvm]", "PASSED"),
    ],
)
def test_each_reports_its_outcome(session: list[str], test: str, outcome: str) -> None:
    assert outcomes(session, f"tests/cluster/{test}") == [outcome]


def test_they_start_before_they_are_waited_for(session: list[str]) -> None:
    test = "tests/elsewhere/test_meanwhile.py::test_is_not_waited_for"
    assert outcomes(session, test) == ["PASSED"]


def test_the_summary_counts_all(session: list[str]) -> None:
    assert "4 failed, 10 passed, 1 skipped" in session[-1]


def test_a_failure_there_reads_like_one_here(session: list[str]) -> None:
    assert "E       AssertionError: told why" in session
    assert "seen inside" in session


def test_a_pytest_that_dies_fails_the_rest_with_its_output_once(session: list[str]) -> None:
    ends = [line for line in session if line.startswith("the pytest with the clusters ended")]

    assert [line.endswith("its output ended so:") for line in ends] == [True, False]
    assert any(line.startswith("worker ") and "crashed while running" in line for line in session)


def test_a_single_module_has_its_cluster_here(project: Probe) -> None:
    words = ("--clusters=2", "tests/cluster/test_second.py", "-k", "here or without")

    pids = _summaries(project.run(*words))

    assert len(pids) == 3
    assert len(set(pids.values())) == 1


def test_on_a_single_cluster_they_come_last_too(project: Probe) -> None:
    lines = project.run("--clusters=1", "-k", "and_here or own_process")

    ran = [line.split("::")[1].split()[0].partition("[")[0] for line in lines if " PASSED" in line]
    assert ran == ["test_own_process", *["test_and_here"] * 3]
