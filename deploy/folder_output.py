"""Manifests as a folder: a file for each object, and a kustomization.yaml that names them."""

import contextlib
from collections.abc import Sequence
from pathlib import Path

import yaml

from csi.persistent_volume import Manifest
from deploy.output import to_yaml

KUSTOMIZATION = "kustomization.yaml"
_MARK = (
    "# Written by kubectl miren translate, which removes files that it does not name any more.\n"
)


def write_folder(folder: Path, manifests: Sequence[Manifest]) -> None:
    """Write the objects into a folder, new, empty or written by this before.

    All is written under other names first, so that a full disk changes nothing. The kustomization
    changes last: until then it names the old files, which are still there.

    Raises:
        ValueError: the folder holds something else.
        OSError: it cannot be written.
    """
    old = _written(folder)
    files = {_file_name(manifest): to_yaml([manifest]) for manifest in manifests}
    folder.mkdir(parents=True, exist_ok=True)
    content = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": [*files],
    }
    _replace(folder, {**files, KUSTOMIZATION: _MARK + to_yaml([content])})
    for name in old - set(files):
        with contextlib.suppress(FileNotFoundError):
            (folder / name).unlink()


def _written(folder: Path) -> set[str]:
    """Return the files of a folder that this wrote; raises ValueError when it was another."""
    # A run that was killed may have left files under their other names.
    others = {*folder.iterdir()} - {*folder.glob(_new_name("*.yaml"))} if folder.exists() else ()
    if not others:
        return set()
    try:
        text = (folder / KUSTOMIZATION).read_text(encoding="utf-8")
        names = map(str, yaml.safe_load(text)["resources"]) if text.startswith(_MARK) else None
    except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, TypeError):
        names = None
    if names is None:
        raise ValueError(f"{folder} holds other files: name a new or an empty folder")
    return {name for name in names if Path(name).name == name}


def _file_name(manifest: Manifest) -> str:
    return f"{manifest['metadata']['name']}.{manifest['kind'].lower()}.yaml"


def _replace(folder: Path, texts: dict[str, str]) -> None:
    written = {name: folder / _new_name(name) for name in texts}
    try:
        for name, new in written.items():
            new.write_text(texts[name], encoding="utf-8")
        for name, new in written.items():
            new.replace(folder / name)
    finally:
        for new in folder.glob(_new_name("*.yaml")):
            new.unlink(missing_ok=True)


def _new_name(name: str) -> str:
    return f".{name}.new"
