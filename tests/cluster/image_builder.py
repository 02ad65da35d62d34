"""Builds container images with no registry: buildah, and debootstrap for their bases."""

import fcntl
import hashlib
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.programs import run
from tests.lvm.vm import ROOT

_CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
_KEPT = 3
_MOST_LAYERS = 6 << 30


@dataclass(frozen=True, slots=True)
class Source:
    """What an image is built from, below ROOT."""

    name: str
    """What its archive is called."""
    reference: str
    """Its name in manifests."""
    folder: Path
    """Holds a Dockerfile, and what that copies."""
    paths: tuple[str, ...]
    """All that goes into it: files and folders, from ROOT."""


class ImageBuilder:
    """Images in a cache folder, where also buildah's layers are kept."""

    def __init__(self, cache: Path) -> None:
        self._cache = cache
        self._storage = cache / "buildah"

    def archive(self, source: Source) -> Path:
        """An image as an archive; built anew if anything that it is made of has changed."""
        self._cache.mkdir(parents=True, exist_ok=True)
        with self._alone():
            path = self._cache / f"{source.name}-{_content_hash(source.paths)}.tar"
            if not path.exists():
                self._build(source, path)
                self._forget_old(source)
            path.touch()
            return path

    def _build(self, source: Source, path: Path) -> None:
        reference, dockerfile = source.reference, source.folder / "Dockerfile"
        self._buildah("rm", "--all")  # what an interrupted build may have left
        self._forget_layers()
        for base in sorted(bases(dockerfile.read_text())):
            self._make_base(base)
        print(f"building {reference}", file=sys.stderr)
        # What this machine trusts, pip in the build shall trust too.
        pip = self._cache / "pip.conf"
        pip.write_text("[global]\ncert = /etc/pip.crt\n")
        trusted = os.environ.get("PIP_CERT", _CERTIFICATES)
        self._buildah(
            *("build", "--isolation=chroot", "--pull=never", "--network=host", "--layers"),
            *(f"--volume={trusted}:/etc/pip.crt:ro", f"--volume={pip}:/etc/pip.conf:ro"),
            *(f"--tag={reference}", f"--file={dockerfile}", str(source.folder)),
        )
        new = path.with_suffix(".new")
        new.unlink(missing_ok=True)
        self._buildah("push", "--quiet", reference, f"docker-archive:{new}:{reference}")
        new.rename(path)

    def _make_base(self, name: str) -> None:
        """Make what a Dockerfile's FROM names, unless it is there: a minimal Debian."""
        if self._buildah("images", "--quiet", "--filter", f"reference={name}"):
            return
        print(f"making {name} with debootstrap", file=sys.stderr)
        container = self._buildah("from", "scratch")
        try:
            root = self._buildah("mount", container)
            suite = re.split("[-:@]", name.partition(":")[2])[0]
            run("debootstrap", "--variant=minbase", suite, root)
            self._buildah("commit", "--quiet", container, name)
        finally:
            self._buildah("rm", container)

    def _buildah(self, *arguments: str) -> str:
        storage = self._storage
        return run("buildah", f"--root={storage}", f"--runroot={storage}-run", *arguments)

    def _forget_layers(self) -> None:
        """Remove all layers but those of bases when they have become too many."""
        used = run("du", "--summarize", "--block-size=1", str(self._storage)).split()[0]
        if int(used) < _MOST_LAYERS:
            return
        listed = self._buildah("images", "--all", "--format", "{{.ID}} {{.Name}}").splitlines()
        layers = [image.split()[0] for image in listed if image.split()[1:] in (["<none>"], [])]
        self._buildah("rmi", "--force", *layers)

    def _forget_old(self, source: Source) -> None:
        found = self._cache.glob(f"{source.name}-*.tar")
        archives = sorted(found, key=lambda path: path.stat().st_mtime)
        for archive in archives[:-_KEPT]:
            archive.unlink()

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with (self._cache / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def bases(dockerfile: str) -> set[str]:
    """The images that a Dockerfile starts from, without those that it makes itself."""
    lines = re.findall(r"(?im)^FROM\s+(\S+)(?:\s+AS\s+(\S+))?", dockerfile)
    return {base for base, _ in lines} - {stage for _, stage in lines} - {"scratch"}


def _content_hash(paths: tuple[str, ...]) -> str:
    """A hash of all files that an image is built from: their names, modes and content."""
    listing = ("git", "-C", str(ROOT), "ls-files", "-co", "--exclude-standard", "-z", "--", *paths)
    digest = hashlib.sha256(Path(__file__).read_bytes())
    for name in sorted(filter(None, run(*listing).split("\0"))):
        path = ROOT / name
        if path.exists():
            digest.update(f"{name}\0{path.stat().st_mode}\0{path.stat().st_size}\0".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
