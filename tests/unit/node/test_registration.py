"""Plugin registration, with kubelet's calls over the real socket."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from csi.calls import CallGuard
from csi.errors import InvalidRequest
from csi.serial import Turnstile
from csi.server import Server
from csi.stubs import pluginregistration_pb2 as messages
from csi.stubs.pluginregistration_pb2_grpc import RegistrationStub
from node.registration import RegistrationService

PLUGIN = Path("/var/lib/kubelet/plugins/disk.csi.miren.dev/csi.sock")


class Registration:
    """The service on its socket, and kubelet's stub."""

    def __init__(self, kubelet_dir: Path) -> None:
        self.refusals = 0
        self.service = RegistrationService(kubelet_dir, PLUGIN, self._refused)
        guard = CallGuard(Turnstile())
        self.server = Server(self.service.address, [self.service.add_to], guard)
        self.server.start()
        self.channel = grpc.insecure_channel(self.service.address)
        self.kubelet = RegistrationStub(self.channel)

    def _refused(self) -> None:
        self.refusals += 1

    def notify(self, *, registered: bool, error: str = "") -> None:
        status = messages.RegistrationStatus(plugin_registered=registered, error=error)
        self.kubelet.NotifyRegistrationStatus(status, timeout=10)


@pytest.fixture
def kubelet_dir() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="kubelet-") as name:  # tmp_path's is too long
        (Path(name) / "plugins_registry").mkdir()
        yield Path(name)


@pytest.fixture
def registration(kubelet_dir: Path) -> Iterator[Registration]:
    registration = Registration(kubelet_dir)
    yield registration
    registration.channel.close()
    registration.server.stop()


def test_kubelet_is_told_who_is_there_and_where(registration: Registration) -> None:
    assert registration.kubelet.GetInfo(messages.InfoRequest(), timeout=10) == messages.PluginInfo(
        type="CSIPlugin",
        name="disk.csi.miren.dev",
        endpoint=str(PLUGIN),
        supported_versions=["1.0.0"],
    )


def test_kubelet_finds_one_socket_and_no_other(kubelet_dir: Path) -> None:
    registration = Registration(kubelet_dir)
    registry = kubelet_dir / "plugins_registry"
    # kubelet passes over names that begin with a dot.
    seen = [path.name for path in registry.iterdir() if not path.name.startswith(".")]
    assert seen == ["disk.csi.miren.dev-reg.sock"]

    registration.channel.close()
    registration.server.stop()

    assert list(registry.iterdir()) == []


def test_the_driver_knows_whether_kubelet_has_registered_it(registration: Registration) -> None:
    registration.kubelet.GetInfo(messages.InfoRequest(), timeout=10)
    assert registration.service.problem() == "kubelet has not registered the driver"

    registration.notify(registered=True)

    assert registration.service.problem() == ""
    assert registration.refusals == 0


def test_a_refusal_is_logged_and_makes_the_driver_start_anew(
    registration: Registration, caplog: pytest.LogCaptureFixture
) -> None:
    registration.notify(registered=True)
    told = "RegisterPlugin error -- plugin registration failed with err: " + "x" * 500

    registration.notify(registered=False, error=told)

    assert registration.refusals == 1
    assert registration.service.problem() != ""
    (record,) = [record for record in caplog.records if record.levelname == "ERROR"]
    assert told in record.getMessage()


def test_a_folder_that_is_no_kubelets_is_refused() -> None:
    folder = Path("/proc")
    with pytest.raises(InvalidRequest, match=f"--kubelet-dir {folder}: there is no .*registry"):
        RegistrationService(folder, PLUGIN, lambda: None)


def test_a_folder_with_too_long_a_name_is_refused(tmp_path: Path) -> None:
    long = tmp_path / ("x" * 107)
    (long / "plugins_registry").mkdir(parents=True)
    with pytest.raises(InvalidRequest, match=f"--kubelet-dir {long}: .* longer than 107 bytes"):
        RegistrationService(long, PLUGIN, lambda: None)
