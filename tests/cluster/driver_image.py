"""Builds the driver's image, with no registry: buildah, and debootstrap for its base."""

import fcntl
import hashlib
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.lvm.vm import ROOT

_SOURCES = ("Dockerfile", ".dockerignore", "pyproject.toml", "README.md", "LICENSE")
_FOLDERS = ("requirements", "csi", "controller", "node", "deploy")
_CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
_KEPT = 3
_MOST_LAYERS = 6 << 30


def reference() -> str:
    """The image's name, as the manifests have it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return f"ghcr.io/miren/{project['name']}:{project['version']}"


class DriverImage:
    """The driver's image in a cache folder, where also buildah's layers are kept."""

    def __init__(self, cache: Path) -> None:
        self._cache = cache
        self._storage = cache / "buildah"

    def archive(self) -> Path:
        """The image as an archive; built anew if anything that it is made of has changed."""
        self._cache.mkdir(parents=True, exist_ok=True)
        with self._alone():
            path = self._cache / f"driver-{_content_hash()}.tar"
            if not path.exists():
                self._build(path)
                self._forget_old()
            path.touch()
            return path

    def _build(self, path: Path) -> None:
        dockerfile = ROOT / "Dockerfile"
        self._buildah("rm", "--all")  # what an interrupted build may have left
        self._forget_layers()
        for base in sorted(bases(dockerfile.read_text())):
            self._make_base(base)
        print(f"building {reference()}", file=sys.stderr)
        # What this machine trusts, pip in the build shall trust too.
        pip = self._cache / "pip.conf"
        pip.write_text("[global]\ncert = /etc/pip.crt\n")
        trusted = os.environ.get("PIP_CERT", _CERTIFICATES)
        self._buildah(
            *("build", "--isolation=chroot", "--pull=never", "--network=host", "--layers"),
            *(f"--volume={trusted}:/etc/pip.crt:ro", f"--volume={pip}:/etc/pip.conf:ro"),
            *(f"--tag={reference()}", f"--file={dockerfile}", str(ROOT)),
        )
        new = path.with_suffix(".new")
        new.unlink(missing_ok=True)
        self._buildah("push", "--quiet", reference(), f"docker-archive:{new}:{reference()}")
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
            _run("debootstrap", "--variant=minbase", suite, root)
            self._buildah("commit", "--quiet", container, name)
        finally:
            self._buildah("rm", container)

    def _buildah(self, *arguments: str) -> str:
        storage = self._storage
        return _run("buildah", f"--root={storage}", f"--runroot={storage}-run", *arguments)

    def _forget_layers(self) -> None:
        """Remove all layers but those of bases when they have become too many."""
        used = _run("du", "--summarize", "--block-size=1", str(self._storage)).split()[0]
        if int(used) < _MOST_LAYERS:
            return
        listed = self._buildah("images", "--all", "--format", "{{.ID}} {{.Name}}").splitlines()
        layers = [image.split()[0] for image in listed if image.split()[1:] in (["<none>"], [])]
        self._buildah("rmi", "--force", *layers)

    def _forget_old(self) -> None:
        archives = sorted(self._cache.glob("driver-*.tar"), key=lambda path: path.stat().st_mtime)
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


def _content_hash() -> str:
    """A hash of all files that the image is built from: their names, modes and content."""
    listed = _run(
        "git",
        "-C",
        str(ROOT),
        "ls-files",
        "-co",
        "--exclude-standard",
        "-z",
        "--",
        *_SOURCES,
        *_FOLDERS,
    )
    digest = hashlib.sha256(Path(__file__).read_bytes())
    for name in sorted(filter(None, listed.split("\0"))):
        path = ROOT / name
        if path.exists():
            digest.update(f"{name}\0{path.stat().st_mode}\0{path.stat().st_size}\0".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _run(*command: str) -> str:
    ended = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if ended.returncode != 0:
        raise OSError(f"{' '.join(command)}:\n{ended.stdout[-4000:]}")
    return ended.stdout.strip()
