"""What those see who run the driver: kubelet's plugin registration, probes, metrics."""

import contextlib
import json
import os
import re
import signal
import socket
import tempfile
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest
from prometheus_client.parser import text_string_to_metric_families

from csi import DRIVER_NAME
from csi.stubs import csi_pb2, csi_pb2_grpc
from csi.stubs import pluginregistration_pb2 as registration
from csi.stubs.pluginregistration_pb2_grpc import RegistrationStub
from deploy.local_driver import LocalDriver
from tests.life.app import SIZE, Instance, Operator, refused
from tests.life.conftest import Drivers
from tests.life.host import command_of, descendants
from tests.life.test_process import exit_status

_SOON = (("grpc.initial_reconnect_backoff_ms", 20), ("grpc.max_reconnect_backoff_ms", 20))


class Kubelet:
    """Does what kubelet's plugin manager does with a socket in plugins_registry."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "plugins_registry").mkdir(parents=True)
        self.socket = folder / "plugins_registry" / f"{DRIVER_NAME}-reg.sock"

    @contextlib.contextmanager
    def _dial(self) -> Iterator[RegistrationStub]:
        with grpc.insecure_channel(f"unix://{self.socket}", _SOON) as channel:
            grpc.channel_ready_future(channel).result(timeout=30)
            yield RegistrationStub(channel)

    def register(self) -> csi_pb2.NodeGetInfoResponse:
        """Find the driver, ask it about the node, and acknowledge."""
        with self._dial() as plugin:
            info = plugin.GetInfo(registration.InfoRequest())
            assert (info.type, info.name) == ("CSIPlugin", DRIVER_NAME)
            assert list(info.supported_versions) == ["1.0.0"]
            with grpc.insecure_channel(f"unix://{info.endpoint}") as channel:
                # kubelet does not wait for the driver to become ready: it must be by now.
                node = csi_pb2_grpc.NodeStub(channel)
                answer = node.NodeGetInfo(csi_pb2.NodeGetInfoRequest(), timeout=30)
            plugin.NotifyRegistrationStatus(registration.RegistrationStatus(plugin_registered=True))
        return answer

    def refuse(self, why: str) -> None:
        """Tell the driver that it could not be registered."""
        with self._dial() as plugin:
            status = registration.RegistrationStatus(plugin_registered=False, error=why)
            plugin.NotifyRegistrationStatus(status, timeout=30)


class Http:
    """The driver's HTTP server."""

    def __init__(self, driver: LocalDriver) -> None:
        """Find the port that the kernel chose."""
        ports = re.findall(r"listening at http://127\.0\.0\.1:(\d+)", driver.log.read_text())
        self.base = f"http://127.0.0.1:{ports[-1]}"

    def get(self, path: str) -> tuple[int, str]:
        """The status and text of a page."""
        try:
            with urllib.request.urlopen(f"{self.base}{path}", timeout=30) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def metrics(self) -> dict[str, float]:
        """All samples, written as in PromQL: `miren_csi_leases{state="bound"}`."""
        status, text = self.get("/metrics")
        assert status == 200
        return {
            _written(sample.name, sample.labels): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }


def _written(name: str, labels: dict[str, str]) -> str:
    inner = ",".join(f'{key}="{labels[key]}"' for key in sorted(labels))
    return f"{name}{{{inner}}}" if inner else name


@pytest.fixture
def kubelet() -> Iterator[Kubelet]:
    with tempfile.TemporaryDirectory(prefix="kubelet-") as name:  # tmp_path's is too long
        yield Kubelet(Path(name))


@pytest.fixture
def driver(drivers: Drivers, kubelet: Kubelet) -> LocalDriver:
    """`miren-csi all` with both options, running."""
    http = ("--http-endpoint", "127.0.0.1:0")
    return drivers("--kubelet-dir", str(kubelet.folder), *http).start()


# metrics


def test_metrics_tell_of_calls_disks_and_leases(
    driver: LocalDriver, operator: Operator, tmp_path: Path
) -> None:
    operator.create("pgdata")
    operator.create("cache")
    operator.snapshot("pgdata", "monday")
    db = Instance(driver, tmp_path, "pgdata").deploy()
    db.write(os.urandom(8 << 20))
    other = Instance(driver, tmp_path, "cache", pod="cache-0")
    other.attach()
    other.detach()
    with refused(grpc.StatusCode.FAILED_PRECONDITION, "pgdata"):
        operator.delete("pgdata")

    found = Http(driver).metrics()

    count = "miren_csi_call_duration_seconds_count"
    assert found[f'{count}{{code="OK",method="CreateVolume"}}'] == 2
    assert found[f'{count}{{code="OK",method="NodeStageVolume"}}'] == 1
    assert found[f'{count}{{code="FAILED_PRECONDITION",method="DeleteVolume"}}'] == 1
    of_pool = f'{{node="{driver.node_id}"}}'
    assert found[f"miren_csi_pool_up{of_pool}"] == 1
    assert found[f"miren_csi_pool_disks{of_pool}"] == 2
    assert found[f"miren_csi_pool_snapshots{of_pool}"] == 1
    assert found[f"miren_csi_pool_promised_bytes{of_pool}"] == 2 * SIZE
    size = found[f"miren_csi_pool_size_bytes{of_pool}"]
    assert found[f"miren_csi_pool_promise_limit_bytes{of_pool}"] == 2 * size
    assert 8 << 20 <= found[f"miren_csi_pool_used_bytes{of_pool}"] < size
    assert 0 <= found[f"miren_csi_pool_metadata_used_ratio{of_pool}"] < 1
    of_disk = f'{{disk="pgdata",node="{driver.node_id}"}}'
    assert found[f"miren_csi_disk_size_bytes{of_disk}"] == SIZE
    assert 8 << 20 <= found[f"miren_csi_disk_used_bytes{of_disk}"] < SIZE
    assert found[f'miren_csi_disk_health_up{{node="{driver.node_id}"}}'] == 1
    assert not any("disk_problem" in name for name in found)
    assert found['miren_csi_leases{state="bound"}'] == 1
    assert found['miren_csi_leases{state="released"}'] == 1
    assert found['miren_csi_leases{state="failed"}'] == 0
    assert found["process_resident_memory_bytes"] < 60 << 20
    db.stop()


def test_the_page_of_disks_tells_where_they_are_and_how_they_are_mounted(
    driver: LocalDriver, operator: Operator, pool_spec: str, tmp_path: Path
) -> None:
    operator.create("pgdata")
    operator.create("idle")
    db = Instance(driver, tmp_path, "pgdata").deploy()
    db.write(os.urandom(8 << 20))

    status, text = Http(driver).get("/disks")

    assert status == 200
    disks = json.loads(text)["disks"]
    kind, _, place = pool_spec.partition(":")
    inside = f"{place}/" if kind == "loop" else f"{place.partition('/')[0]}/disk-"
    assert disks.keys() == {"pgdata", "idle"}
    assert disks["idle"].keys() == {"place"}
    told = disks["pgdata"]
    assert told["place"].startswith(inside)
    assert Path(told["device"]).is_block_device()
    mounts = {one["path"]: one for one in told["mounts"]}
    at = mounts[str(db.target)]
    assert (at["filesystem"], "rw" in at["options"]) == ("ext4", True)
    assert "rw" in at["filesystemOptions"]
    space = told["space"]
    assert 8 << 20 < space["totalBytes"] - space["availableBytes"] < SIZE
    assert told["problems"] == []
    db.stop()


@pytest.mark.lvm_only
def test_metrics_tell_how_long_lvm_takes(driver: LocalDriver, operator: Operator) -> None:
    operator.create("pgdata")
    operator.create("cache")

    found = Http(driver).metrics()

    name = "miren_csi_lvm_command_duration_seconds"
    assert found[f'{name}_count{{command="lvcreate"}}'] == 2
    assert 0 < found[f'{name}_sum{{command="lvcreate"}}'] < 60
    assert found[f'{name}_count{{command="lvs"}}'] >= 1
    assert 0 < found[f'miren_csi_pool_metadata_used_ratio{{node="{driver.node_id}"}}'] < 1


def test_a_node_plugin_has_a_pool_but_no_leases(drivers: Drivers) -> None:
    driver = drivers("--http-endpoint", "127.0.0.1:0")
    driver.argv[driver.argv.index("all")] = "node"
    leases = driver.argv.index("--leases")
    del driver.argv[leases : leases + 2]
    driver.start()

    http = Http(driver)

    assert http.metrics()[f'miren_csi_pool_up{{node="{driver.node_id}"}}'] == 1
    assert not any("leases" in name for name in http.metrics())
    assert http.get("/healthz") == (200, "ok")
    assert http.get("/readyz") == (200, "ok")  # nobody asked it to register with a kubelet


# probes


@pytest.mark.loop_only
def test_a_pool_that_is_gone_makes_the_driver_not_ready(drivers: Drivers, tmp_path: Path) -> None:
    driver = drivers("--http-endpoint", "127.0.0.1:0", pool=f"loop:{tmp_path}/fragile").start()
    http = Http(driver)
    assert http.get("/readyz") == (200, "ok")

    (tmp_path / "fragile").rename(tmp_path / "elsewhere")

    assert _eventually(lambda: http.get("/readyz")[0] == 503)  # an answer may be a second old
    assert "FAILED_PRECONDITION: the pool does not work" in http.get("/readyz")[1]
    assert http.get("/healthz") == (200, "ok")
    found = http.metrics()
    assert found[f'miren_csi_pool_up{{node="{driver.node_id}"}}'] == 0
    assert not any(name.startswith("miren_csi_pool_size_bytes") for name in found)
    (tmp_path / "elsewhere").rename(tmp_path / "fragile")
    assert _eventually(lambda: http.get("/readyz") == (200, "ok"))


@pytest.mark.lvm_only
def test_lvm_that_hangs_is_told_and_is_no_reason_to_restart(
    driver: LocalDriver, operator: Operator, kubelet: Kubelet
) -> None:
    operator.create("pgdata")
    kubelet.register()
    http = Http(driver)
    (shell,) = (pid for pid in descendants(driver.pid) if command_of(pid)[0] == "lvm")
    os.kill(shell, signal.SIGSTOP)
    try:
        found = http.metrics()
        assert found[f'miren_csi_pool_up{{node="{driver.node_id}"}}'] == 0
        assert found["miren_csi_leases_up"] == 1
        status, text = http.get("/readyz")
        assert status == 503
        assert "no answer within 2 s" in text
        assert http.get("/healthz") == (200, "ok")
    finally:
        os.kill(shell, signal.SIGCONT)

    assert _eventually(lambda: http.get("/readyz") == (200, "ok"))
    assert _eventually(lambda: http.metrics()[f'miren_csi_pool_up{{node="{driver.node_id}"}}'] == 1)


@pytest.mark.loop_only
def test_a_driver_that_kubelet_cannot_reach_is_not_healthy(
    driver: LocalDriver, kubelet: Kubelet
) -> None:
    http = Http(driver)
    kubelet.register()
    assert http.get("/healthz") == (200, "ok")

    kubelet.socket.unlink()
    status, text = http.get("/healthz")
    assert status == 503
    assert str(kubelet.socket) in text

    driver.socket.unlink()
    assert str(driver.socket) in http.get("/healthz")[1]


@pytest.mark.loop_only
def test_the_http_server_stops_with_the_driver(driver: LocalDriver) -> None:
    base = Http(driver).base
    host, _, port = base.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port))):  # a client that says nothing
        assert driver.stop() == 0

    with pytest.raises(urllib.error.URLError, match="refused"):
        urllib.request.urlopen(f"{base}/healthz", timeout=30)


# registration


def test_the_driver_is_ready_once_kubelet_has_registered_it(
    driver: LocalDriver, kubelet: Kubelet
) -> None:
    http = Http(driver)
    assert http.get("/readyz") == (503, "kubelet has not registered the driver\n")
    assert http.get("/healthz") == (200, "ok")

    assert kubelet.register().node_id == driver.node_id

    assert http.get("/readyz") == (200, "ok")
    assert driver.stop() == 0
    assert list(kubelet.socket.parent.iterdir()) == []


@pytest.mark.loop_only
def test_kubelet_is_told_the_socket_of_the_node_service(
    drivers: Drivers, kubelet: Kubelet, tmp_path: Path
) -> None:
    node_socket = tmp_path / "node.sock"
    driver = drivers(
        *("--kubelet-dir", str(kubelet.folder), "--node-endpoint", f"unix://{node_socket}"),
        *("--http-endpoint", "127.0.0.1:0"),
    ).start()
    http = Http(driver)

    assert kubelet.register().node_id == driver.node_id  # only that socket has a Node service

    assert http.get("/readyz") == (200, "ok")
    node_socket.unlink()
    assert http.get("/healthz")[0] == 503


@pytest.mark.loop_only
def test_a_driver_that_kubelet_refuses_ends_and_can_be_registered_anew(
    driver: LocalDriver, kubelet: Kubelet
) -> None:
    why = "RegisterPlugin error -- plugin registration failed with err: " + "no CSINode, " * 50

    kubelet.refuse(why)

    assert exit_status(driver) == 1
    assert list(kubelet.socket.parent.iterdir()) == []
    assert not driver.socket.exists()
    assert why in driver.log.read_text()
    driver.kill()
    driver.start()
    assert kubelet.register().node_id == driver.node_id


@pytest.mark.loop_only
def test_a_killed_drivers_registration_socket_is_replaced(
    driver: LocalDriver, kubelet: Kubelet
) -> None:
    kubelet.register()
    driver.kill()
    stale = kubelet.socket.stat()

    driver.start()

    assert kubelet.register().node_id == driver.node_id
    assert kubelet.socket.stat().st_ctime_ns > stale.st_ctime_ns


def test_a_new_driver_leaves_the_mounts_of_the_old_one_alone(
    driver: LocalDriver, operator: Operator, kubelet: Kubelet, tmp_path: Path
) -> None:
    kubelet.register()
    operator.create("pgdata")
    db = Instance(driver, tmp_path, "pgdata").deploy()
    db.write(b"first order")
    with db.file.open("rb+") as held:
        assert driver.stop() == 0
        held.write(b"FIRST")  # while no driver runs
        driver.start()
        kubelet.register()
        held.write(b" ORDER")

    assert db.read(100) == b"FIRST ORDER"
    assert Http(driver).metrics()['miren_csi_leases{state="bound"}'] == 1
    db.stop()


def _eventually(is_so: Callable[[], bool]) -> bool:
    """Wait up to half a minute for something that the driver finds out by itself."""
    pause = threading.Event()
    return any(is_so() or pause.wait(0.2) for _ in range(150))
