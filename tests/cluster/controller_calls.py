"""Calls to controllers past the sidecars: from a node, on the sockets of the controllers there."""

import json
import shlex
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any

import grpc

from csi.stubs import csi_pb2, csi_pb2_grpc
from tests.cluster.cluster import Cluster
from tests.cluster.driver import NAMESPACE
from tests.cluster.node import Node

_DEADLINE = 60.0
_MODES = csi_pb2.VolumeCapability.AccessMode


@dataclass(frozen=True, slots=True)
class Call:
    """ControllerPublishVolume for a pod (`namespace/name`), or ControllerUnpublishVolume for none.

    As external-attacher does it for a PV that is ReadWriteOncePod.
    """

    socket: str
    disk: str
    node: str
    pod: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """A status code's name, and the sentence with it."""

    code: str
    sentence: str


def socket_of(kubernetes: Cluster, pod: str) -> str:
    """Where the socket of a controller's pod is on its node."""
    uid = kubernetes.get("pod", pod, namespace=NAMESPACE)["metadata"]["uid"]
    return f"/var/lib/kubelet/pods/{uid}/volumes/kubernetes.io~empty-dir/socket/csi.sock"


def call(node: Node, *steps: Sequence[Call]) -> list[list[Answer]]:
    """Make calls from a node: one step after the other, those of a step at the same time."""
    asked = json.dumps([[asdict(one) for one in step] for step in steps])
    program = shlex.join([sys.executable, "-m", "tests.cluster.controller_calls", asked])
    answered = json.loads(node.run(program, within=300).splitlines()[-1])
    return [[Answer(**one) for one in step] for step in answered]


def _make(wanted: Call) -> Answer:
    with grpc.insecure_channel(f"unix://{wanted.socket}") as channel:
        controller = csi_pb2_grpc.ControllerStub(channel)
        try:
            if wanted.pod:
                controller.ControllerPublishVolume(_publish(wanted), timeout=_DEADLINE)
            else:
                request = csi_pb2.ControllerUnpublishVolumeRequest(
                    volume_id=wanted.disk, node_id=wanted.node
                )
                controller.ControllerUnpublishVolume(request, timeout=_DEADLINE)
        except grpc.RpcError as error:
            return Answer(error.code().name, error.details() or "")
    return Answer("OK", "")


def _publish(wanted: Call) -> csi_pb2.ControllerPublishVolumeRequest:
    namespace, _, name = wanted.pod.partition("/")
    prefix = "csi.storage.k8s.io/pod."
    return csi_pb2.ControllerPublishVolumeRequest(
        volume_id=wanted.disk,
        node_id=wanted.node,
        volume_capability=csi_pb2.VolumeCapability(
            mount=csi_pb2.VolumeCapability.MountVolume(fs_type="ext4"),
            access_mode=_MODES(mode=_MODES.SINGLE_NODE_SINGLE_WRITER),
        ),
        volume_context={f"{prefix}namespace": namespace, f"{prefix}name": name},
    )


def _main(asked: str) -> None:
    with ThreadPoolExecutor() as threads:
        steps: list[list[dict[str, Any]]] = json.loads(asked)
        answers = [
            [asdict(answer) for answer in threads.map(_make, [Call(**one) for one in step])]
            for step in steps
        ]
    print(json.dumps(answers))


if __name__ == "__main__":
    _main(sys.argv[1])
