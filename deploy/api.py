"""What `import deploy` offers: the app.toml model and its translation to manifests."""

from csi.object_names import object_name
from csi.persistent_volume import Manifest
from deploy.disks import translate_disks
from deploy.model import (
    AppConfig,
    AutoConcurrency,
    Build,
    Concurrency,
    DiskSpec,
    EnvVar,
    Filesystem,
    FixedConcurrency,
    PortType,
    Provider,
    Service,
)
from deploy.options import Options
from deploy.output import to_json, to_yaml
from deploy.parsing import parse
from deploy.problems import AppTomlError, Problem
from deploy.source import search_upwards
from deploy.translation import translate, translate_services

__all__ = [
    "AppConfig",
    "AppTomlError",
    "AutoConcurrency",
    "Build",
    "Concurrency",
    "DiskSpec",
    "EnvVar",
    "Filesystem",
    "FixedConcurrency",
    "Manifest",
    "Options",
    "PortType",
    "Problem",
    "Provider",
    "Service",
    "object_name",
    "parse",
    "search_upwards",
    "to_json",
    "to_yaml",
    "translate",
    "translate_disks",
    "translate_services",
]
