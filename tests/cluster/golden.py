"""An app of a real shape, as its developer deploys it and looks at it."""

import base64
import re
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from deploy import Service, parse
from tests.cluster.apps import Apps
from tests.cluster.cluster import Cluster

_WITHIN = 240.0
_TOLD = 4
"""Lines that the stand-in prints of itself."""
# What every container has beside its disks.
_USUAL = re.compile(r"/|/(proc|dev|sys)(/.*)?|/etc/(hosts|hostname|resolv\.conf)")


@dataclass(frozen=True, slots=True)
class Instance:
    """A pod of a service, as it looked from inside when it was started."""

    pod: str
    command: Sequence[str]
    """With what its container was started."""
    environment: Mapping[str, str]
    mounts: Mapping[str, tuple[str, str]]
    """Filesystem and options of what is mounted beside the usual, by its path."""
    hosts: Mapping[str, str]
    """The address of each name in /etc/hosts."""


class GoldenApp:
    """An app in a namespace of its own."""

    def __init__(self, kubernetes: Cluster, apps: Apps, folder: Path) -> None:
        """Args: folder: what its developer has, called like the image that he has built of it."""
        self._kubernetes = kubernetes
        self._image = f"registry.example/{folder.name}:1"
        self._file = folder / ".miren" / "app.toml"
        self.apps = apps
        self.folder = folder
        self.config = parse(self._file)
        """What its app.toml says."""

    def images(self) -> set[str]:
        """The images of its services."""
        return {service.image or self._image for service in self.config.services} | {self._image}

    def deploy(self, *words: str) -> "subprocess.CompletedProcess[str]":
        """Run kubectl miren deploy, however it ends."""
        return self._miren("deploy", str(self._file), "--image", self._image, *words)

    def undeploy(self) -> "subprocess.CompletedProcess[str]":
        """Run kubectl miren undeploy, however it ends."""
        return self._miren("undeploy", self.config.name)

    def _miren(self, *words: str) -> "subprocess.CompletedProcess[str]":
        options = ("--namespace", self.apps.namespace, "--timeout", f"{_WITHIN:g}")
        return self._kubernetes.miren(*words, *options, within=_WITHIN + 30)

    def neighbour(self, folder: Path) -> "GoldenApp":
        """Another app in the same namespace."""
        return GoldenApp(self._kubernetes, self.apps, folder)

    def labels(self, service: Service) -> str:
        """The selector of a service's objects."""
        name, component = self.config.name, service.name
        return f"app.kubernetes.io/name={name},app.kubernetes.io/component={component}"

    def pods(self, service: Service) -> list[str]:
        """The names of a service's pods."""
        found = self.apps.get("pods", "--selector", self.labels(service))["items"]
        return [pod["metadata"]["name"] for pod in found]

    def addresses(self, service: Service) -> set[str]:
        """The addresses of a service's pods."""
        found = self.apps.get("pods", "--selector", self.labels(service))["items"]
        return {pod["status"]["podIP"] for pod in found}

    def log_of_import(self) -> str:
        """What its post_import command has printed; nothing where it has none."""
        (name,) = [job["metadata"]["name"] for job in self.apps.get("jobs")["items"]] or ("",)
        lines = self.apps.kubectl("logs", f"job/{name}").splitlines() if name else []
        return "\n".join(lines[_TOLD:])

    def volumes(self) -> dict[str, tuple[str, str]]:
        """Name and size of the PersistentVolumes of its disks, by the disks' handles."""
        handles = {disk.handle(self.config.name) for disk in self.config.disks}
        by_handle = {
            one["spec"]["csi"]["volumeHandle"]: one for one in self.apps.get("pv")["items"]
        }
        return {
            handle: (
                by_handle[handle]["metadata"]["name"],
                by_handle[handle]["spec"]["capacity"]["storage"],
            )
            for handle in handles & set(by_handle)
        }

    def left(self) -> set[str]:
        """All objects in its namespace that not every namespace has."""
        kinds = self.apps.kubectl("api-resources", "--namespaced", "--verbs=list", "--output=name")
        telling = [kind for kind in kinds.split() if not kind.startswith("events")]
        found = self.apps.kubectl("get", ",".join(telling), "--output=name").split()
        return set(found) - {"configmap/kube-root-ca.crt", "serviceaccount/default"}

    def instances(self, service: Service) -> list[Instance]:
        """All running pods of a service."""
        return [self._look(pod) for pod in self.pods(service)]

    def _look(self, pod: str) -> Instance:
        # In base64, as kubectl's output is text: not all that it is about would survive that.
        told = self.apps.kubectl("logs", pod).splitlines()[:_TOLD]
        command, environment, mounts, hosts = (base64.b64decode(line).decode() for line in told)
        return Instance(
            pod,
            command.split("\0")[2:-1],  # without the interpreter of the stand-in
            dict(entry.split("=", 1) for entry in environment.split("\0")[:-1]),
            dict(_beside_the_usual(mounts)),
            {name: line.split()[0] for line in hosts.splitlines() for name in _names(line)},
        )


def _beside_the_usual(mounts: str) -> Iterable[tuple[str, tuple[str, str]]]:
    for line in mounts.splitlines():
        _, path, filesystem, options, *_ = line.split()
        if not _USUAL.fullmatch(path):
            yield path, (filesystem, options)


def _names(line: str) -> Sequence[str]:
    return line.partition("#")[0].split()[1:]
