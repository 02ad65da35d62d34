"""Runs `miren-csi all` as a child process and speaks CSI to it, for the demo and for tests."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import grpc

from csi import TOPOLOGY_KEY
from csi.stubs import csi_pb2, csi_pb2_grpc

MODE = csi_pb2.VolumeCapability.AccessMode
START_SECONDS = 60.0
CALL_SECONDS = 300.0
_RECONNECT = (("grpc.initial_reconnect_backoff_ms", 20), ("grpc.max_reconnect_backoff_ms", 20))
"""A starting driver is soon there: gRPC's own second would be most of the wait."""


class LocalDriver:
    """One driver process with its socket, and clients for all of its services."""

    def __init__(
        self,
        folder: Path,
        pool: str,
        *,
        node_id: str = "coordinator",
        options: Sequence[str] = (),
    ) -> None:
        """Prepare a driver; `start` starts it.

        Args:
            folder: where its socket, leases, local disks and log go.
            pool: as for `--pool`.
            node_id: as for `--node-id`.
            options: more options for `miren-csi all`.
        """
        self.folder = folder
        self.node_id = node_id
        self.socket = folder / "csi.sock"
        self.log = folder / "driver.log"
        self.argv = [
            *(sys.executable, "-m", "csi.main", "all"),
            *("--endpoint", f"unix://{self.socket}", "--node-id", node_id, "--pool", pool),
            *("--leases", f"file:{folder / 'leases.json'}"),
            *("--local-root", str(folder / "local"), *options),
        ]
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: grpc.Channel | None = None

    def start(self) -> Self:
        """Start the driver and wait until it answers; raises RuntimeError when it ends instead."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self.argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        self._channel = grpc.insecure_channel(f"unix://{self.socket}", _RECONNECT)
        ready = grpc.channel_ready_future(self._channel)
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                ready.result(timeout=0.1)
                break
            except grpc.FutureTimeoutError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"the driver did not start: {self._last_words()}") from None
        self.identity = csi_pb2_grpc.IdentityStub(self._channel)
        self.controller = csi_pb2_grpc.ControllerStub(self._channel)
        self.groups = csi_pb2_grpc.GroupControllerStub(self._channel)
        self.metadata = csi_pb2_grpc.SnapshotMetadataStub(self._channel)
        self.node = csi_pb2_grpc.NodeStub(self._channel)
        return self

    def _last_words(self) -> str:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGUSR1)  # it writes where its threads are
            time.sleep(1.0)
        return self.log.read_text(errors="replace")[-10000:]

    @property
    def pid(self) -> int:
        """The process id of the running driver."""
        if self._process is None:
            raise RuntimeError("the driver is not running")
        return self._process.pid

    def kill(self) -> None:
        """Kill the driver as the kernel would: at once, nothing cleaned up."""
        self._end(lambda process: process.kill())

    def stop(self) -> int:
        """Ask the driver to stop (SIGTERM), wait, and return its exit status."""
        return self._end(lambda process: process.terminate())

    def _end(self, how: Callable[[subprocess.Popen[bytes]], None]) -> int:
        if self._channel is not None:
            self._channel.close()
            self._channel = None
        if self._process is None:
            return 0
        process, self._process = self._process, None
        how(process)
        return process.wait()

    def __enter__(self) -> Self:
        """Start the driver."""
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop the driver."""
        self.stop()


def mount_capability(
    filesystem: str = "",
    *,
    mode: "csi_pb2.VolumeCapability.AccessMode.Mode.ValueType" = MODE.SINGLE_NODE_SINGLE_WRITER,
    flags: Sequence[str] = (),
    group: str = "",
) -> csi_pb2.VolumeCapability:
    """Return the capability of a volume used as a mounted filesystem."""
    return csi_pb2.VolumeCapability(
        mount=csi_pb2.VolumeCapability.MountVolume(
            fs_type=filesystem, mount_flags=flags, volume_mount_group=group
        ),
        access_mode=MODE(mode=mode),
    )


def block_capability(
    mode: "csi_pb2.VolumeCapability.AccessMode.Mode.ValueType" = MODE.SINGLE_NODE_SINGLE_WRITER,
) -> csi_pb2.VolumeCapability:
    """Return the capability of a volume used as a raw block device."""
    return csi_pb2.VolumeCapability(
        block=csi_pb2.VolumeCapability.BlockVolume(), access_mode=MODE(mode=mode)
    )


def pod_context(namespace: str, name: str, attributes: Mapping[str, str]) -> dict[str, str]:
    """Return a PV's attributes together with the pod that wants it."""
    return {
        **attributes,
        "csi.storage.k8s.io/pod.namespace": namespace,
        "csi.storage.k8s.io/pod.name": name,
    }


def topology(node_id: str) -> csi_pb2.Topology:
    """Return the topology of a node."""
    return csi_pb2.Topology(segments={TOPOLOGY_KEY: node_id})
