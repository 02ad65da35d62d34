"""Things in a pool's place that are somebody else's, under the very name that a disk would have."""

import subprocess
from pathlib import Path

from controller import names
from csi.disk import MIB

CONTENT = b"somebody else's, and precious"


class Foreign:
    """Plants a file or an LV, and tells whether it is still as it was."""

    def __init__(self, pool_spec: str) -> None:
        self._kind, _, self._place = pool_spec.partition(":")
        self._planted: list[Path] = []

    def plant(self, name: str) -> None:
        """Make what a disk and a snapshot of that name would be called."""
        for kind, folder in ((names.DISK, "disks"), (names.SNAPSHOT, "snapshots")):
            stem = names.stem(kind, name)
            if self._kind == "loop":
                path = Path(self._place) / folder / f"{stem}.img"
            else:
                vg = self._place.partition("/")[0]
                _run("lvcreate", "-y", "-V", f"{4 * MIB}b", "-n", stem, "--thinpool", self._place)
                path = Path("/dev") / vg / stem
            with path.open("r+b" if path.exists() else "xb") as file:
                file.write(CONTENT)
            self._planted.append(path)

    def is_untouched(self) -> bool:
        return all(path.open("rb").read(len(CONTENT)) == CONTENT for path in self._planted)

    def clear(self) -> None:
        for path in self._planted:
            if self._kind == "loop":
                path.unlink()
            else:
                _run("lvremove", "-y", str(path))


def _run(*argv: str) -> None:
    subprocess.run(argv, check=True, capture_output=True)
