"""The pods of a service: one container, its environment, port and disks."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from csi.object_names import object_name
from csi.persistent_volume import Manifest
from deploy.environment import Environment
from deploy.hosts import SUFFIX
from deploy.model import AppConfig, DiskSpec, PortType
from deploy.options import Options
from deploy.service_port import HEADLESS

_SHELL = ("/bin/sh", "-c")


@dataclass(frozen=True, slots=True)
class Container:
    """What runs in a pod."""

    name: str
    image: str
    command: str | None
    """A line for the shell; None for what the image runs by itself."""
    environment: Environment
    disks: Sequence[DiskSpec] = ()
    port: int | None = None
    port_type: PortType = PortType.HTTP
    cpu: str = ""
    """The share that it asks for: what an autoscaler measures it by."""


def pod_spec(config: AppConfig, container: Container, options: Options) -> Manifest:
    """Return the spec of a pod. All pods of an app that has any disk run where the disks are."""
    disks = [(volume_name(config.name, disk), disk) for disk in container.disks]
    spec: Manifest = {
        # No app of Miren talks to Kubernetes, or reads variables about other services from it.
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "containers": [_container(container, disks)],
    }
    if config.disks:
        pinned = {"requiredDuringSchedulingIgnoredDuringExecution": options.pin.selector()}
        spec["affinity"] = {"nodeAffinity": pinned}
    if aliases := _host_aliases(options):
        spec["hostAliases"] = aliases
    if disks:
        spec["volumes"] = [_volume(name, disks) for name in dict(disks)]
    return spec


def is_probed(container: Container) -> bool:
    """Whether Kubernetes can see from outside that the container works: nobody answers by UDP."""
    return container.port is not None and container.port_type is not PortType.UDP


def volume_name(app: str, disk: DiskSpec) -> str:
    """Return the name of the disk's claim, by which the pod's volume is called too."""
    return object_name(disk.handle(app))


def container_name(service: str) -> str:
    """Return what the container of a service is called: in lower case its name is a DNS label."""
    return service.lower()


def _container(container: Container, disks: Sequence[tuple[str, DiskSpec]]) -> Manifest:
    built: Manifest = {"name": container.name, "image": container.image}
    if container.command:
        built["command"] = [*_SHELL, _unexpanded(container.command)]
    built |= container.environment.of_container()
    if container.port:
        if "PORT" not in container.environment.variables:
            built.setdefault("env", []).append({"name": "PORT", "value": str(container.port)})
        built["ports"] = [_container_port(container.port, container.port_type)]
    if container.cpu:
        built["resources"] = {"requests": {"cpu": container.cpu}}
    if is_probed(container):
        built["readinessProbe"] = {"tcpSocket": {"port": container.port}, "periodSeconds": 5}
    if disks:
        built["volumeMounts"] = [_mount(name, disk) for name, disk in disks]
    return built


def _container_port(port: int, kind: PortType) -> Manifest:
    protocol = {"protocol": "UDP"} if kind is PortType.UDP else {}
    return {"containerPort": port, **protocol}


def _unexpanded(command: str) -> str:
    """Return a command of which Kubernetes makes this one: it expands $(NAME), and $$ to $.

    Before 1.35 it also breaks a character that is not ASCII right after a $.
    """
    return re.sub(r"\$(?=[$(]|[^\0-\x7f])", "$$", command)


def _mount(name: str, disk: DiskSpec) -> Manifest:
    read_only = {"readOnly": True} if disk.read_only else {}
    return {"name": name, "mountPath": disk.mount_path, **read_only}


def _volume(name: str, disks: Sequence[tuple[str, DiskSpec]]) -> Manifest:
    # A folder may be there twice, and writable at one of both paths.
    is_read_only = all(disk.read_only for volume, disk in disks if volume == name)
    read_only = {"readOnly": True} if is_read_only else {}
    return {"name": name, "persistentVolumeClaim": {"claimName": name, **read_only}}


def _host_aliases(options: Options) -> list[Manifest]:
    # A headless Service has the address "None". Of services called "DB" and "db" the last in this
    # order has the name, as in what app.toml writes down.
    known = sorted(options.cluster_ips.items())
    addresses = {service.lower(): ip for service, ip in known if ip != HEADLESS}
    return [{"ip": ip, "hostnames": [f"{name}{SUFFIX}"]} for name, ip in sorted(addresses.items())]
