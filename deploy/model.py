"""What an app.toml says, as types: parsed once at the edge, passed around inside."""

from dataclasses import dataclass, field
from enum import StrEnum

from csi.disk import DEFAULT_LEASE_TIMEOUT
from csi.local_id import LocalId
from deploy.problems import Problem


class Provider(StrEnum):
    """What stands behind a disk."""

    MIREN = "miren"
    """A disk of its own, with a size, a filesystem and an exclusive lease."""
    LOCAL = "local"
    """A directory on the coordinator, shared by all containers of one app."""


class Filesystem(StrEnum):
    """The filesystems that a miren disk may be formatted with."""

    EXT4 = "ext4"
    XFS = "xfs"
    BTRFS = "btrfs"


class PortType(StrEnum):
    """What a service speaks at its port."""

    HTTP = "http"
    HTTPS = "https"
    GRPC = "grpc"
    TCP = "tcp"
    UDP = "udp"


@dataclass(frozen=True, slots=True)
class DiskSpec:
    """A disk as a service asks for it (`[[services.NAME.disks]]`).

    `size_gb` counts GiB and is None when not given: it is needed only to create the disk.
    `lease_timeout` is in seconds. Size, filesystem and lease mean nothing for a local disk and
    have their defaults there.
    """

    name: str
    mount_path: str
    provider: Provider = Provider.MIREN
    size_gb: int | None = None
    filesystem: Filesystem = Filesystem.EXT4
    read_only: bool = False
    lease_timeout: float = DEFAULT_LEASE_TIMEOUT

    @property
    def is_miren(self) -> bool:
        """Whether this is a disk with a lease, not a local directory."""
        return self.provider is Provider.MIREN

    def handle(self, app: str) -> str:
        """Return the volumeHandle by which the driver knows the disk of this app."""
        return self.name if self.is_miren else str(LocalId(app, self.name))


@dataclass(frozen=True, slots=True)
class EnvVar:
    """One environment variable."""

    key: str
    value: str = ""


@dataclass(frozen=True, slots=True)
class AutoConcurrency:
    """As many instances as the requests need; `scale_down_delay` is in seconds."""

    requests_per_instance: int = 10
    scale_down_delay: float = 900.0


@dataclass(frozen=True, slots=True)
class FixedConcurrency:
    """Always the same number of instances."""

    num_instances: int = 1


Concurrency = AutoConcurrency | FixedConcurrency


@dataclass(frozen=True, slots=True)
class Service:
    """One process of the app (`[services.NAME]`); `image` None means the app's built image."""

    name: str
    command: str | None = None
    image: str | None = None
    port: int | None = None
    port_name: str | None = None
    port_type: PortType = PortType.TCP
    env: tuple[EnvVar, ...] = ()
    concurrency: Concurrency = field(default_factory=FixedConcurrency)
    disks: tuple[DiskSpec, ...] = ()


@dataclass(frozen=True, slots=True)
class Build:
    """How the app's image is built (`[build]`)."""

    dockerfile: str | None = None
    onbuild: tuple[str, ...] = ()
    version: str | None = None
    alpine_image: str | None = None


@dataclass(frozen=True, slots=True)
class AppConfig:
    """One app.toml; `services` are in the order of their names, whatever the file's order.

    `warnings` is what the author should know though the file is used; it takes no part in
    comparisons.
    """

    name: str
    services: tuple[Service, ...] = ()
    env: tuple[EnvVar, ...] = ()
    build: Build = field(default_factory=Build)
    include: tuple[str, ...] = ()
    post_import: str | None = None
    concurrency: int | None = None
    warnings: tuple[Problem, ...] = field(default=(), compare=False)

    @property
    def disks(self) -> tuple[DiskSpec, ...]:
        """All disks of all services; a local disk comes once for each service that mounts it."""
        return tuple(disk for service in self.services for disk in service.disks)

    def environment(self, service: Service) -> dict[str, str]:
        """Return what a service's containers get: its own value wins over the app's."""
        return {entry.key: entry.value for entry in (*self.env, *service.env)}
