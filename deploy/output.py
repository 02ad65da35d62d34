"""Manifests as text that kubectl reads as it was meant."""

import json
import re
from collections.abc import Sequence

import yaml

from csi.persistent_volume import Manifest


class _ManifestDumper(yaml.SafeDumper):
    """Quotes what kubectl's YAML would not take for a string, though PyYAML's would."""

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002
        return True


# A disk may be called "y" or "1e5". PyYAML follows YAML 1.1 without these, so it would leave them
# bare, and kubectl would read a boolean and a float.
_ManifestDumper.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"[yYnN]$"), list("yYnN")
)
_ManifestDumper.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?[0-9][0-9_]*([eE][-+]?[0-9]+|[oO][0-7_]+)$"),
    list("-+0123456789"),
)


def to_yaml(manifests: Sequence[Manifest]) -> str:
    """Return one YAML document for each manifest; nothing for none."""
    return (
        yaml.dump_all(
            manifests, Dumper=_ManifestDumper, sort_keys=False, explicit_start=True, width=100
        )
        if manifests
        else ""
    )


def to_json(manifests: Sequence[Manifest]) -> str:
    """Return a Kubernetes List of the manifests, also of none."""
    document = {"apiVersion": "v1", "kind": "List", "items": list(manifests)}
    return json.dumps(document, indent=2) + "\n"
