"""The paths that an orchestrator gives."""

import os
from pathlib import Path

import pytest

from csi.errors import InvalidRequest, Refused
from node import paths


@pytest.mark.parametrize("text", ["/a", "/a/b/", "/a//b", "/a/./b", "/a b/ü", "/" + "x" * 4000])
def test_absolute_paths(text: str) -> None:
    assert paths.parse("target_path", text) == Path(text)


def test_slashes_in_front_are_one() -> None:
    assert str(paths.parse("target_path", "//a//b/")) == "/a/b"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "must be an absolute path, not ''"),
        ("mnt/x", "must be an absolute path, not 'mnt/x'"),
        ("../x", "must be an absolute path"),
        ("/a/../b", 'must not contain ".."'),
        ("/..", 'must not contain ".."'),
        ("/", "must not be the root folder"),
        ("//", "must not be the root folder"),
    ],
)
def test_paths_that_are_refused(text: str, why: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        paths.parse("target_path", text)

    assert str(caught.value).startswith("target_path ")
    assert why in str(caught.value)


def test_a_missing_folder_is_made_but_not_its_parents(tmp_path: Path) -> None:
    paths.make_directory("target_path", tmp_path / "pod")
    assert (tmp_path / "pod").is_dir()

    with pytest.raises(InvalidRequest, match=f"the folder {tmp_path}/a does not exist"):
        paths.make_directory("target_path", tmp_path / "a" / "b")


def test_a_missing_file_is_made(tmp_path: Path) -> None:
    paths.make_file("target_path", tmp_path / "device")
    paths.make_file("target_path", tmp_path / "device")

    assert (tmp_path / "device").read_bytes() == b""


def test_other_things_in_the_place_of_a_folder(tmp_path: Path) -> None:
    fifo, link = tmp_path / "fifo", tmp_path / "link"
    os.mkfifo(fifo)
    link.symlink_to(tmp_path)

    with pytest.raises(InvalidRequest, match="is something special, but must be a folder"):
        paths.make_directory("target_path", fifo)
    with pytest.raises(InvalidRequest, match="is a symbolic link, but must be a folder"):
        paths.make_directory("target_path", link)
    with pytest.raises(InvalidRequest, match="cannot be used: Not a directory"):
        paths.make_directory("target_path", fifo / "below")
    with pytest.raises(InvalidRequest, match="cannot be used: File name too long"):
        paths.make_directory("target_path", tmp_path / ("x" * 300))


def test_only_empty_things_are_removed(tmp_path: Path) -> None:
    folder, file, link = tmp_path / "folder", tmp_path / "file", tmp_path / "link"
    (folder / "below").mkdir(parents=True)
    file.write_text("somebody's")
    link.symlink_to(folder)

    with pytest.raises(Refused, match="is not empty, so it is left as it is"):
        paths.remove("target_path", folder)
    with pytest.raises(InvalidRequest, match="is a file with content, which this driver did not"):
        paths.remove("target_path", file)
    with pytest.raises(InvalidRequest, match="is a symbolic link, which this driver did not make"):
        paths.remove("target_path", link)

    assert paths.remove("target_path", folder / "below")
    file.write_text("")
    assert paths.remove("target_path", file)
    assert sorted(tmp_path.iterdir()) == [folder, link]
    assert not paths.remove("target_path", file)
