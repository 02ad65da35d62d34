"""The files of a pool of loop files, as an operator finds them."""

from pathlib import Path

from tests.contract.host import run


def image_of(folder: Path, disk: str) -> Path:
    """The file of the one disk of that name."""
    (image,) = folder.glob(f"disks/disk-{disk}-*.img")
    return image


def devices_of(image: Path) -> list[str]:
    """The loop devices that show a file."""
    return run("losetup", "--noheadings", "--output", "NAME", "--associated", image).split()
