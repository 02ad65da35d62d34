"""What a translation needs to know beyond the app.toml."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from csi.object_names import is_dns_label
from csi.persistent_volume import COORDINATOR, Pin
from deploy.names import is_label_key, is_label_value

_IMAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/:@-]*")


@dataclass(frozen=True, slots=True)
class Options:
    """Where an app runs, and with what.

    Raises:
        ValueError: a name is none that Kubernetes allows.
    """

    namespace: str = "default"
    image: str | None = None
    """The app's built image, for services that name none."""
    pin: Pin = COORDINATOR
    """The node that has the disks."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Wins over all that app.toml says."""
    cluster_ips: Mapping[str, str] = field(default_factory=dict)
    """By service: pods find `SERVICE.app.miren` there, though nobody wrote it into app.toml."""

    def __post_init__(self) -> None:
        if not is_dns_label(self.namespace):
            raise ValueError(
                f'"{self.namespace}" is no namespace: use lower-case letters, digits, hyphens'
            )
        if not is_label_key(self.pin.key):
            raise ValueError(f'"{self.pin.key}" is no label\'s key: see `kubectl get nodes -L KEY`')
        if not is_label_value(self.pin.value):
            raise ValueError(
                f'"{self.pin.value}" is no node name or label: see `kubectl get nodes`'
            )
        if self.image is not None and not _IMAGE.fullmatch(self.image):
            raise ValueError(f'"{self.image}" is no image: write it as in registry/app:tag')


DEFAULTS = Options()
