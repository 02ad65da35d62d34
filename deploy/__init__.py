"""What brings apps to a cluster: the app.toml model and its translation to manifests.

A name's module is imported when the name is used: most commands, and the mover, need none of them.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
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

_HOMES = {
    "csi.object_names": ("object_name",),
    "csi.persistent_volume": ("Manifest",),
    "deploy.disks": ("translate_disks",),
    "deploy.model": (
        "AppConfig",
        "AutoConcurrency",
        "Build",
        "Concurrency",
        "DiskSpec",
        "EnvVar",
        "Filesystem",
        "FixedConcurrency",
        "PortType",
        "Provider",
        "Service",
    ),
    "deploy.options": ("Options",),
    "deploy.output": (
        "to_json",
        "to_yaml",
    ),
    "deploy.parsing": ("parse",),
    "deploy.problems": (
        "AppTomlError",
        "Problem",
    ),
    "deploy.source": ("search_upwards",),
    "deploy.translation": (
        "translate",
        "translate_services",
    ),
}
_MODULES = {name: module for module, names in _HOMES.items() for name in names}


if not TYPE_CHECKING:  # mypy would take any name for one of these

    def __getattr__(name: str) -> object:
        if name in _MODULES:
            return getattr(import_module(_MODULES[name]), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
