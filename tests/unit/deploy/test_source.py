"""Whatever a path leads to, an app.toml is found there or the reason is told."""

from pathlib import Path

import pytest

from deploy import AppTomlError, parse, search_upwards

ASK = "give the path of an app.toml, or of a folder that holds .miren/app.toml"


def refusal(content: Path | str | bytes) -> str:
    with pytest.raises(AppTomlError) as refusal:
        parse(content)
    return str(refusal.value)


def test_a_file_is_read_and_named_in_messages(tmp_path: Path) -> None:
    path = tmp_path / "some.toml"
    path.write_text('name = "shop"')
    assert parse(path).name == "shop"
    path.write_text("name = 5")
    assert refusal(path).startswith(f"{path}:1:1: name: must be a string")


def test_a_missing_file(tmp_path: Path) -> None:
    path = tmp_path / "app.toml"
    assert refusal(path) == f"{path}: cannot be read: No such file or directory; {ASK}"


def test_a_folder(tmp_path: Path) -> None:
    assert refusal(tmp_path) == f"{tmp_path}: cannot be read: Is a directory; {ASK}"


def test_a_file_used_as_a_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    path = tmp_path / "file" / "app.toml"
    assert refusal(path) == f"{path}: cannot be read: Not a directory; {ASK}"


def test_a_loop_of_links(tmp_path: Path) -> None:
    path = tmp_path / "app.toml"
    path.symlink_to(path)
    assert refusal(path) == f"{path}: cannot be read: Too many levels of symbolic links; {ASK}"


def test_a_path_that_is_none() -> None:
    assert "cannot be read: " in refusal(Path("a\0b"))
    assert "cannot be read: File name too long" in refusal(Path("a" * 5000))


def test_a_device_without_an_end() -> None:
    what = "is larger than 1 MiB; an app.toml is a short text: check the path"
    assert refusal(Path("/dev/zero")) == f"/dev/zero: {what}"


def test_a_file_of_a_mebibyte_is_read_and_a_byte_more_is_not(tmp_path: Path) -> None:
    path = tmp_path / "app.toml"
    head = 'name = "shop"\n#'
    path.write_text(head + "x" * (2**20 - len(head)))
    assert parse(path).name == "shop"
    path.write_text(head + "x" * (2**20 - len(head) + 1))
    assert "is larger than 1 MiB" in refusal(path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (
            b'name = "shop"\n# caf\xe9',
            "app.toml:2:6: is not UTF-8 text (byte 0xE9); save it as UTF-8",
        ),
        (b"\xff\xfen\0", "app.toml:1:1: is UTF-16 text; save it as UTF-8"),
        (b'name = "a"\nb\0', "app.toml:2:2: contains a NUL character; is it a text file at all?"),
        ("name = '\ud800'", "app.toml:1:9: is not UTF-8 text (byte 0xED); save it as UTF-8"),
    ],
    ids=["latin-1", "UTF-16", "NUL", "lone surrogate"],
)
def test_content_that_is_no_text(content: bytes | str, said: str) -> None:
    assert refusal(content) == said


@pytest.fixture
def app(tmp_path: Path) -> Path:
    (tmp_path / ".miren").mkdir()
    (tmp_path / ".miren" / "app.toml").write_text('name = "shop"')
    (tmp_path / "src" / "deep").mkdir(parents=True)
    return tmp_path


@pytest.mark.parametrize("start", [".", "src", "src/deep"])
def test_the_nearest_app_is_found_upwards(app: Path, start: str) -> None:
    assert search_upwards(app / start) == app / ".miren" / "app.toml"


def test_an_app_within_an_app_wins(app: Path) -> None:
    inner = app / "src" / ".miren"
    inner.mkdir()
    (inner / "app.toml").write_text('name = "inner"')
    assert parse(search_upwards(app / "src" / "deep")).name == "inner"


def test_a_broken_link_is_reported_rather_than_passed_by(app: Path) -> None:
    inner = app / "src" / ".miren"
    inner.mkdir()
    (inner / "app.toml").symlink_to("nowhere")
    assert "No such file or directory" in refusal(search_upwards(app / "src" / "deep"))


def test_no_app_anywhere_above() -> None:
    with pytest.raises(AppTomlError) as refusal:
        search_upwards(Path("/proc/self"))
    assert str(refusal.value) == (
        f"/proc/self: there is no .miren/app.toml here or in any folder above; {ASK}"
    )
