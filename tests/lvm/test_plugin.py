"""Tests run in the VM are pytest's own: counted, selected and shown like any others."""

import pytest

from tests.elsewhere.probe import Probe, outcomes

pytestmark = pytest.mark.lvm

_PROBE = """
import pytest

def test_of_both_pools(pool_spec, record_property):
    record_property("summary", f"ran on {pool_spec.partition(':')[0]}")

def test_that_fails_on_lvm(pool_spec):
    print("seen inside")
    assert pool_spec.startswith("loop:"), "told why"

@pytest.mark.loop_only
def test_of_loop(pool_spec):
    assert pool_spec.startswith("loop:")

@pytest.mark.lvm_only
def test_of_lvm(pool_spec):
    assert pool_spec == "lvm:miren/pool"

@pytest.mark.skip(reason="not today")
def test_of_another_day():
    raise AssertionError

def test_that_pulls_the_plug(pool_spec):
    if pool_spec.startswith("lvm:"):
        with open("/proc/sysrq-trigger", "w") as trigger:
            trigger.write("b")

def test_after_the_end(pool_spec):
    pass
"""


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What pytest prints when the probe is all that there is."""
    tests = {"contract/test_probe.py": _PROBE}
    return Probe(tmp_path_factory.mktemp("project"), tests).run("tests/contract")


@pytest.mark.parametrize(
    ("test", "here", "in_vm"),
    [
        ("test_of_both_pools", ["PASSED"], ["PASSED"]),
        ("test_that_fails_on_lvm", ["PASSED"], ["FAILED"]),
        ("test_of_loop", ["PASSED"], []),
        ("test_of_lvm", [], ["PASSED"]),
        ("test_of_another_day", ["SKIPPED"], ["SKIPPED"]),
        ("test_that_pulls_the_plug", ["PASSED"], ["FAILED"]),
        ("test_after_the_end", ["PASSED"], ["FAILED"]),
    ],
)
def test_each_runs_where_it_belongs_and_reports_its_outcome(
    session: list[str], test: str, here: list[str], in_vm: list[str]
) -> None:
    assert outcomes(session, f"tests/contract/test_probe.py::{test}") == here
    assert outcomes(session, f"lvm:tests/contract/test_probe.py::{test}") == in_vm


def test_the_summary_counts_both(session: list[str]) -> None:
    assert "3 failed, 7 passed, 2 skipped" in session[-1]


def test_a_failure_inside_reads_like_one_outside(session: list[str]) -> None:
    assert "E       AssertionError: told why" in session
    assert "seen inside" in session


def test_what_a_test_recorded_as_its_summary_is_printed(session: list[str]) -> None:
    probe = "tests/contract/test_probe.py::test_of_both_pools"
    assert f"{probe}: ran on loop" in session
    assert f"lvm:{probe}: ran on lvm" in session


def test_a_vm_that_dies_fails_the_rest_with_its_console_once(session: list[str]) -> None:
    ends = [line for line in session if line.startswith("the VM ended")]

    assert [line.endswith("its console ended so:") for line in ends] == [True, False]
    assert any("sysrq: Resetting" in line for line in session)
