"""The container images of the tests, each an archive that is built once and kept.

They carry the names under which the world knows them, so manifests need no change for the tests.
The cache is MIREN_CSI_CACHE, by default ~/.cache/miren-csi, in its folder `images`.
"""

import fcntl
import hashlib
import os
import re
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

from tests.cluster import driver_image
from tests.cluster.image_archive import Recipe, write_archive
from tests.cluster.image_builder import ImageBuilder, Source
from tests.cluster.programs import go_program
from tests.lvm.vm import ROOT

SIDECARS: Mapping[str, str] = {
    "csi-provisioner": "v6.4.0",
    "csi-attacher": "v4.13.0",
    "csi-resizer": "v2.3.0",
    "csi-snapshotter": "v8.7.0",
    "snapshot-controller": "v8.7.0",
}
BUSYBOX = "docker.io/library/busybox:1.35"
"""The image of the tests' own pods; in a manifest `busybox:1.35` will do."""
DRIVER = driver_image.reference()
POSTGRESQL = "docker.io/library/postgres:16"
"""In an app.toml `postgres:16` will do. It is Debian's version, whatever that is."""
STAND_IN = "registry.example/stand-in:1"
PAUSE = "registry.k8s.io/pause:3.6"
_BUSYBOX = Path("/bin/busybox")
_GETENT = Path("/usr/bin/getent")


def cache() -> Path:
    """Where images are kept."""
    folder = Path(os.environ.get("MIREN_CSI_CACHE") or Path.home() / ".cache/miren-csi")
    return folder / "images"


def busybox() -> Path:
    """The archive of an image with a shell and all of busybox's commands."""
    return _archive(
        Recipe(
            BUSYBOX,
            entrypoint=(),
            files={"/bin/busybox": _BUSYBOX},
            links=_busybox_links(),
            folders=("/tmp", "/root"),
            texts={"/etc/passwd": "root:x:0:0:root:/root:/bin/sh\n", "/etc/group": "root:x:0:\n"},
        )
    )


def _busybox_links() -> dict[str, str]:
    listed = subprocess.run([_BUSYBOX, "--list"], stdout=subprocess.PIPE, check=True, text=True)
    commands = sorted(set(listed.stdout.split()) - {"busybox"})
    return {f"/bin/{command}": "busybox" for command in commands}


def stand_in(programs: Iterable[str], texts: Mapping[str, str]) -> Path:
    """The archive of an image whose programs, absolute paths, and shell are the script `stand-in`.

    It has getent too, which looks names up as programs do that use glibc. `texts` are what further
    files hold, by their paths.
    """
    script = "/bin/stand-in"
    return _archive(
        Recipe(
            STAND_IN,
            entrypoint=(script,),
            files={
                "/bin/busybox": _BUSYBOX,
                script: Path(__file__).with_name("stand-in"),
                **_with_libraries(_GETENT),
            },
            links=_busybox_links() | dict.fromkeys(("/bin/sh", *programs), script),
            folders=("/run", "/tmp"),
            texts=texts,
        )
    )


def _with_libraries(program: Path) -> dict[str, Path]:
    """A program of this machine and what it is linked with, by their places in an image."""
    listed = subprocess.run(["ldd", program], stdout=subprocess.PIPE, check=True, text=True)
    return {path: Path(path) for path in (str(program), *re.findall(r"/\S+", listed.stdout))}


def pause() -> Path:
    """The archive of the image that holds a pod's namespaces."""
    sleep = ("/busybox", "sleep", "2147483647")
    return _archive(Recipe(PAUSE, entrypoint=sleep, files={"/busybox": _BUSYBOX}))


def sidecar(name: str) -> Path:
    """The archive of one of SIDECARS."""
    program = go_program(name)
    reference = f"registry.k8s.io/sig-storage/{name}:{SIDECARS[name]}"
    return _archive(Recipe(reference, entrypoint=(f"/{name}",), files={f"/{name}": program}))


def _archive(recipe: Recipe) -> Path:
    # What this repository has is small, and changes without growing.
    sizes = {
        place: source.read_bytes() if source.is_relative_to(ROOT) else source.stat().st_size
        for place, source in recipe.files.items()
    }
    facts = (
        repr((recipe, sizes)).encode() + Path(__file__).with_name("image_archive.py").read_bytes()
    )
    name = recipe.reference.rpartition("/")[2].replace(":", "-")
    path = cache() / f"{name}-{hashlib.sha256(facts).hexdigest()[:16]}.tar"
    path.parent.mkdir(parents=True, exist_ok=True)
    with (path.parent / "archives.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            write_archive(recipe, path)
    return path


def driver() -> Path:
    """The archive of the driver's image, built from the Dockerfile as it is now."""
    return ImageBuilder(cache()).archive(driver_image.source())


def postgresql() -> Path:
    """The archive of a real PostgreSQL, made of Debian's packages."""
    folder = Path(__file__).with_name("postgresql")
    source = Source("postgresql", POSTGRESQL, folder, (str(folder.relative_to(ROOT)),))
    return ImageBuilder(cache()).archive(source)


def usual() -> list[Path]:
    """The archives of what every node has from the start."""
    return [pause(), busybox(), *(sidecar(name) for name in SIDECARS)]


if __name__ == "__main__":
    for archive in (*usual(), driver(), postgresql()):
        print(archive)
