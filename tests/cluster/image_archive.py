"""Writes container images as `docker save` does, without a container engine.

Such an archive is reproducible: the same content gives the same bytes.
"""

import hashlib
import io
import json
import os
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Recipe:
    """An image of one layer.

    `files` says which file of this machine lies where in the image, `links` where symbolic links
    point; both and `folders` are absolute paths. All files are executable, all folders writable
    for everyone.
    """

    reference: str
    entrypoint: Sequence[str]
    files: Mapping[str, Path]
    links: Mapping[str, str] = field(default_factory=dict)
    folders: Sequence[str] = ()
    texts: Mapping[str, str] = field(default_factory=dict)


def write_archive(recipe: Recipe, path: Path) -> None:
    """Write the image to `path`, which is complete once it exists."""
    layer, new = path.with_suffix(".layer"), path.with_suffix(".new")
    try:
        with tarfile.open(layer, "w") as tar:
            _fill(tar, recipe)
        config = json.dumps(_config(recipe, _digest(layer))).encode()
        name = f"{hashlib.sha256(config).hexdigest()}.json"
        manifest = [{"Config": name, "RepoTags": [recipe.reference], "Layers": ["layer.tar"]}]
        with tarfile.open(new, "w") as tar:
            _add_bytes(tar, name, config)
            _add_bytes(tar, "manifest.json", json.dumps(manifest).encode())
            _add_file(tar, "layer.tar", layer)
        new.rename(path)
    finally:
        layer.unlink(missing_ok=True)
        new.unlink(missing_ok=True)


def _fill(tar: tarfile.TarFile, recipe: Recipe) -> None:
    places = [*recipe.files, *recipe.links, *recipe.texts]
    parents = {str(parent) for place in places for parent in Path(place).parents} - {"/"}
    for folder in sorted(parents | set(recipe.folders)):
        entry = tarfile.TarInfo(folder.lstrip("/"))
        entry.type, entry.mode = tarfile.DIRTYPE, 0o1777 if folder in recipe.folders else 0o755
        tar.addfile(entry)
    for place, source in sorted(recipe.files.items()):
        _add_file(tar, place.lstrip("/"), source)
    for place, target in sorted(recipe.links.items()):
        entry = tarfile.TarInfo(place.lstrip("/"))
        entry.type, entry.linkname = tarfile.SYMTYPE, target
        tar.addfile(entry)
    for place, text in sorted(recipe.texts.items()):
        _add_bytes(tar, place.lstrip("/"), text.encode())


def _add_file(tar: tarfile.TarFile, place: str, source: Path) -> None:
    entry = tarfile.TarInfo(place)
    entry.mode, entry.size = 0o755, source.stat().st_size
    with source.open("rb") as file:
        tar.addfile(entry, file)


def _add_bytes(tar: tarfile.TarFile, place: str, content: bytes) -> None:
    entry = tarfile.TarInfo(place)
    entry.mode, entry.size = 0o644, len(content)
    tar.addfile(entry, io.BytesIO(content))


def _config(recipe: Recipe, layer: str) -> object:
    return {
        "architecture": {"x86_64": "amd64", "aarch64": "arm64"}[os.uname().machine],
        "os": "linux",
        "config": {
            "Entrypoint": list(recipe.entrypoint),
            "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
        },
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{layer}"]},
    }


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
