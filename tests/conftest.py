"""Which pool the tests run on, and fixtures that every suite shares."""

import contextlib
import shutil
import signal
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from csi.opening import open_pool
from tests.cluster.api_server import ApiServer, Cluster
from tests.cluster.beside import OPTION as CLUSTERS
from tests.cluster.plugin import ClustersPlugin
from tests.lvm.plugin import LvmPlugin
from tests.lvm.vm import usable_cpus

_MARKERS = (
    "loop_only: not for the LVM pool",
    "lvm_only: not for the loop-file pool",
    "lvm: needs a VM, or runs in one",
    "pools: of which clusters have what tests want: lvm, in VMs, or loop, in containers (default)",
)


# No test is about time, least of all on a machine that is busy.
settings.register_profile("default", deadline=None)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--pool",
        metavar="loop|lvm:VG/THINPOOL",
        help="run the suites of both pools here and on this one only"
        " (default: on loop files here and on real LVM in a VM)",
    )
    parser.addoption(
        CLUSTERS,
        type=int,
        default=len(usable_cpus()),
        help="divide the tests that want a cluster among so many of each kind (default: one for"
        " each CPU), each module on one",
    )


def pytest_configure(config: pytest.Config) -> None:
    _heed_signals()
    for marker in _MARKERS:
        config.addinivalue_line("markers", marker)
    lvm = LvmPlugin()
    config.pluginmanager.register(ClustersPlugin(config.getoption(CLUSTERS), lvm.is_at_work))
    pool = config.getoption("--pool")
    if pool is None:
        config.pluginmanager.register(lvm)
    elif pool != "loop" and not pool.startswith("lvm:"):
        raise pytest.UsageError(f"--pool {pool}: neither loop nor lvm:VG/THINPOOL")


def _heed_signals() -> None:
    """Under nohup, or in the background of a script, what tests start would ignore some of them."""
    for number, handler in (
        (signal.SIGHUP, signal.SIG_DFL),
        (signal.SIGINT, signal.default_int_handler),
        (signal.SIGQUIT, signal.SIG_DFL),
    ):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, handler)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    pool = config.getoption("--pool")
    if pool is None:
        return
    other = "lvm_only" if pool == "loop" else "loop_only"
    config.hook.pytest_deselected(items=[i for i in items if i.get_closest_marker(other)])
    items[:] = [item for item in items if not item.get_closest_marker(other)]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what tests recorded as their summary: `record_property("summary", LINE)`."""
    for reports in terminalreporter.stats.values():
        for report in reports:
            for name, value in getattr(report, "user_properties", ()):
                if name == "summary" and report.when == "call":
                    terminalreporter.write_line(f"{report.nodeid}: {value}")


@pytest.fixture
def pool_spec(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty pool, as the driver's --pool names it; what a test leaves in it is thrown away."""
    spec: str = request.config.getoption("--pool") or "loop"
    if spec == "loop":
        folder = tmp_path / "pool"
        folder.mkdir()
        yield f"loop:{folder}"
        shutil.rmtree(folder)
        return
    yield spec
    if request.path.name == "test_kills.py":
        # What the last kill left, only a driver's start mends; LVM itself would lose sight of it.
        with contextlib.closing(open_pool(spec, 1.0)) as left:
            left.recover()
    group, _, pool = spec.removeprefix("lvm:").partition("/")
    rest = ["--select", f'pool_lv="{pool}"', group]
    subprocess.run(["lvremove", "--quiet", "--quiet", "--force", *rest], check=True)


@pytest.fixture(scope="session")
def api_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """A real API server."""
    server = ApiServer(tmp_path_factory.mktemp("api-server"))
    try:
        yield server.start()
    finally:
        server.stop()


@pytest.fixture
def cluster(api_server: ApiServer, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    """A namespace of its own in a real cluster, which KUBECONFIG names."""
    monkeypatch.setenv("KUBECONFIG", str(api_server.kubeconfig()))
    return Cluster(api_server, f"test-{uuid.uuid4().hex[:12]}")
