"""What the driver's image is called and made of."""

import tomllib

from tests.cluster.image_builder import Source
from tests.lvm.vm import ROOT

_FILES = ("Dockerfile", ".dockerignore", "pyproject.toml", "README.md", "LICENSE")
_FOLDERS = ("requirements", "csi", "controller", "node", "deploy")


def reference() -> str:
    """The image's name, as the manifests have it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return f"ghcr.io/miren/{project['name']}:{project['version']}"


def source() -> Source:
    """The Dockerfile as it is now."""
    return Source("driver", reference(), ROOT, (*_FILES, *_FOLDERS))
