"""The driver as a process: how it starts, refuses to start, shares, stops and logs."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest

from csi.stubs import csi_pb2, csi_pb2_grpc
from deploy.local_driver import LocalDriver, mount_capability
from tests.cluster.waiting import wait_until
from tests.life.app import SIZE, Instance, Operator, refused
from tests.life.conftest import Drivers
from tests.life.gate import gate
from tests.life.host import Host

Command = Callable[..., subprocess.CompletedProcess[str]]
SECRET = "tell-nobody"  # nobody's password: it must not turn up anywhere


@pytest.fixture
def miren_csi(tmp_path: Path) -> Command:
    """Runs `miren-csi all` to its end: `miren_csi(pool="loop:/nowhere")`."""

    def run(**options: str) -> subprocess.CompletedProcess[str]:
        chosen = {
            "endpoint": f"unix://{tmp_path}/csi.sock",
            "node-id": "coordinator",
            "pool": f"loop:{tmp_path}/pool",
            "leases": f"file:{tmp_path}/leases.json",
            **{name.replace("_", "-"): value for name, value in options.items()},
        }
        argv = [word for name, value in chosen.items() for word in (f"--{name}", value)]
        command = [sys.executable, "-m", "csi.main", "all", *argv]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    return run


def assert_refused(ended: subprocess.CompletedProcess[str], *words: str) -> None:
    """It said why in one line, with these words, and ended with 2."""
    assert ended.returncode == 2, ended.stderr
    assert ended.stdout == ""
    (line,) = ended.stderr.splitlines()
    assert line.startswith("miren-csi")
    for word in words:
        assert word in line


# starting


@pytest.mark.loop_only
@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("endpoint", "", ["--endpoint", "missing"]),
        ("endpoint", "tcp://127.0.0.1:1", ["unix:///PATH", "tcp://127.0.0.1:1"]),
        ("endpoint", "unix:///proc/csi.sock", ["/proc/csi.sock"]),
        ("node_id", "", ["--node-id", "missing"]),
        ("pool", "floppy:a", ["lvm:VG/THINPOOL", "floppy:a"]),
        ("pool", "loop:relative", ["loop:/DIR", "loop:relative"]),
        ("pool", "loop:/proc/pool", ["/proc/pool"]),
        ("pool", "loop:/etc/hostname", ["/etc/hostname"]),
        ("leases", "file:/proc/leases.json", ["/proc/leases.json"]),
        ("leases", "etcd", ["file:/PATH", "etcd"]),
        ("overcommit", "lots", ["--overcommit", "lots"]),
        ("log_format", "xml", ["--log-format", "xml"]),
        ("http_endpoint", "9808", ["--http-endpoint", "ADDRESS:PORT", "9808"]),
        ("http_endpoint", ":99999", ["--http-endpoint", "65535", "99999"]),
        ("http_endpoint", "192.0.2.1:9808", ["192.0.2.1:9808", "assign"]),
        ("kubelet_dir", "relative", ["--kubelet-dir", "absolute", "relative"]),
        ("kubelet_dir", "/nowhere", ["--kubelet-dir", "/nowhere/plugins_registry"]),
        ("kubelet_dir", f"/{'x' * 80}", ["--kubelet-dir", "longer than 107 bytes"]),
    ],
)
def test_a_wrong_option_is_refused_in_one_line(
    miren_csi: Command, option: str, value: str, words: list[str]
) -> None:
    assert_refused(miren_csi(**{option: value}), *words)


@pytest.mark.lvm_only
@pytest.mark.parametrize(
    ("pool", "words"),
    [
        ("lvm:nothing/pool", ["nothing/pool"]),
        ("lvm:miren/nothing", ["miren/nothing"]),
        ("lvm:miren/foreign", ["miren/foreign", "thin pool"]),
    ],
)
def test_a_pool_that_is_none_is_refused_in_one_line(
    miren_csi: Command, pool: str, words: list[str]
) -> None:
    assert_refused(miren_csi(pool=pool), *words)


@pytest.mark.loop_only
def test_a_damaged_lease_file_is_left_alone(miren_csi: Command, tmp_path: Path) -> None:
    leases = tmp_path / "leases.json"
    leases.write_text('{"version": 1, "leases": {"pgdata"')

    assert_refused(miren_csi(), "leases.json", "damaged")

    assert leases.read_text() == '{"version": 1, "leases": {"pgdata"'


@pytest.mark.loop_only
def test_a_second_driver_on_the_same_socket_is_refused(
    driver: LocalDriver, operator: Operator, miren_csi: Command
) -> None:
    assert_refused(miren_csi(endpoint=f"unix://{driver.socket}"), str(driver.socket), "another")

    assert operator.disks() == []  # the first one serves on


@pytest.mark.loop_only
def test_a_stale_socket_is_replaced(driver: LocalDriver, operator: Operator) -> None:
    driver.kill()
    assert driver.socket.is_socket()

    driver.start()

    assert operator.disks() == []


@pytest.mark.loop_only
def test_another_programs_socket_and_file_are_left_alone(
    miren_csi: Command, tmp_path: Path
) -> None:
    place = tmp_path / "csi.sock"
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(place))
        other.listen()
        assert_refused(miren_csi(), str(place), "another program")
    place.unlink()
    place.write_text("precious")

    assert_refused(miren_csi(), str(place), "no socket")

    assert place.read_text() == "precious"


@pytest.mark.loop_only
def test_a_port_in_use_is_refused_in_one_line(miren_csi: Command) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        assert_refused(miren_csi(http_endpoint=address), address, "in use")


# sharing


@pytest.mark.loop_only
def test_controller_and_node_have_a_socket_each(drivers: Drivers, tmp_path: Path) -> None:
    node_socket = tmp_path / "node.sock"
    driver = drivers("--node-endpoint", f"unix://{node_socket}").start()
    operator = Operator(driver)
    operator.create("pgdata")

    with refused(grpc.StatusCode.UNIMPLEMENTED):
        driver.node.NodeGetInfo(csi_pb2.NodeGetInfoRequest())
    with grpc.insecure_channel(f"unix://{node_socket}") as channel:
        with refused(grpc.StatusCode.UNIMPLEMENTED):
            csi_pb2_grpc.ControllerStub(channel).ListVolumes(csi_pb2.ListVolumesRequest())
        driver.node = csi_pb2_grpc.NodeStub(channel)
        db = Instance(driver, tmp_path, "pgdata").deploy()
        db.write(b"first order")
        # Both tell what the driver can do as a whole.
        assert _services(driver.identity) == _services(csi_pb2_grpc.IdentityStub(channel))
        db.stop()

    driver.stop()
    assert not driver.socket.exists()
    assert not node_socket.exists()


def test_controller_and_node_are_two_processes_of_one_pool(
    drivers: Drivers, tmp_path: Path, host: Host
) -> None:
    controller, node = _role(drivers(), "controller"), _role(drivers(), "node")
    controller.start()
    node.start()
    operator = Operator(controller)
    operator.create("pgdata", filesystem="xfs")
    controller.node = node.node
    db = Instance(controller, tmp_path, "pgdata", filesystem="xfs").deploy()
    db.write(b"first order")

    operator.snapshot("pgdata", "monday")
    operator.restore("copy", "monday", filesystem="xfs")
    copy = Instance(controller, tmp_path, "copy", pod="copy-0", filesystem="xfs").deploy()
    assert copy.read(100) == b"first order"
    operator.expand("pgdata", 2 * SIZE)
    db.expand(2 * SIZE)
    assert db.stats()[csi_pb2.VolumeUsage.BYTES].total > 1.8 * SIZE
    with refused(grpc.StatusCode.FAILED_PRECONDITION, "pgdata"):
        operator.delete("pgdata")

    db.stop()
    copy.stop()
    operator.delete("pgdata")
    operator.delete("copy")
    operator.delete_snapshot("monday")
    assert host.mounts() == []
    assert host.loop_devices() == []


# stopping


def test_a_running_call_is_finished_before_the_driver_stops(
    drivers: Drivers, tmp_path: Path
) -> None:
    driver = drivers()
    with gate(tmp_path / "gate", "mkfs.ext4") as mkfs, ThreadPoolExecutor(1) as threads:
        mkfs.guard(driver)
        driver.start()
        Operator(driver).create("pgdata")
        db = Instance(driver, tmp_path, "pgdata")
        db.attach()
        staging = threads.submit(db.stage)
        mkfs.wait_until_reached()
        with grpc.insecure_channel(f"unix://{driver.socket}") as channel:
            identity = csi_pb2_grpc.IdentityStub(channel)
            identity.GetPluginInfo(csi_pb2.GetPluginInfoRequest())

            os.kill(driver.pid, signal.SIGTERM)
            # Before that calls are let in, and gRPC itself cancels one that comes just then.
            wait_until(lambda: not _listens(driver), "no connection is taken", within=30)
            with refused(grpc.StatusCode.UNAVAILABLE):
                identity.GetPluginInfo(csi_pb2.GetPluginInfoRequest(), timeout=30)
        assert not staging.done()
        mkfs.open()

        staging.result(timeout=60)
        assert exit_status(driver) == 0
    assert not driver.socket.exists()
    assert db.staging.is_mount()


def exit_status(driver: LocalDriver) -> int:
    """Wait until the driver has ended by itself; a signal counts as its negative number."""
    ended = os.waitid(os.P_PID, driver.pid, os.WEXITED | os.WNOWAIT)
    assert ended
    return ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status


def _listens(driver: LocalDriver) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(driver.socket)) == 0


@pytest.mark.loop_only
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_idle_driver_stops_well(driver: LocalDriver, number: signal.Signals) -> None:
    os.kill(driver.pid, number)

    assert exit_status(driver) == 0
    assert not driver.socket.exists()
    assert sorted(path.name for path in driver.folder.glob(".*")) == []


@pytest.mark.loop_only
def test_more_signals_do_not_keep_a_driver_from_stopping_well(driver: LocalDriver) -> None:
    while not os.waitid(os.P_PID, driver.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG):
        os.kill(driver.pid, signal.SIGTERM)

    assert exit_status(driver) == 0
    assert not driver.socket.exists()


# logging


@pytest.mark.loop_only
def test_a_driver_says_where_its_threads_are_and_goes_on(
    driver: LocalDriver, operator: Operator
) -> None:
    os.kill(driver.pid, signal.SIGUSR1)

    where = 'csi/main.py", line'
    wait_until(lambda: where in driver.log.read_text(), "it says so", within=30)
    assert operator.disks() == []


@pytest.mark.loop_only
def test_the_log_is_json_and_has_no_secrets(drivers: Drivers, tmp_path: Path) -> None:
    driver = drivers("--log-format", "json", "--log-level", "debug").start()
    secrets = {"password": SECRET}
    driver.controller.CreateVolume(
        csi_pb2.CreateVolumeRequest(
            name="pgdata",
            capacity_range=csi_pb2.CapacityRange(required_bytes=SIZE),
            volume_capabilities=[mount_capability("ext4")],
            secrets=secrets,
        )
    )
    with refused(grpc.StatusCode.INVALID_ARGUMENT) as refusal:
        driver.controller.ControllerPublishVolume(
            csi_pb2.ControllerPublishVolumeRequest(
                volume_id="pgdata",
                node_id=driver.node_id,
                volume_capability=mount_capability("ext4", flags=[f"password={SECRET}"]),
                secrets=secrets,
            )
        )
    db = Instance(driver, tmp_path, "pgdata")
    db.attach()
    request = db.stage_request()
    request.secrets.update(secrets)
    driver.node.NodeStageVolume(request)
    driver.stop()

    log = driver.log.read_text()
    records = [json.loads(line) for line in log.splitlines()]
    calls = {one["message"]: one for one in records if "code" in one}
    assert calls["CreateVolume"]["volume"] == "pgdata"
    assert calls["CreateVolume"]["code"] == "OK"
    assert calls["CreateVolume"]["ms"] > 0
    assert calls["NodeStageVolume"]["level"] == "info"
    assert SECRET not in log
    assert SECRET not in refusal.sentence


def _role(driver: LocalDriver, role: str) -> LocalDriver:
    """Have a driver be one plugin alone."""
    driver.argv[driver.argv.index("all")] = role
    if role == "node":
        leases = driver.argv.index("--leases")
        del driver.argv[leases : leases + 2]
    return driver


def _services(identity: csi_pb2_grpc.IdentityStub) -> set[int]:
    answer = identity.GetPluginCapabilities(csi_pb2.GetPluginCapabilitiesRequest())
    return {one.service.type for one in answer.capabilities if one.HasField("service")}
