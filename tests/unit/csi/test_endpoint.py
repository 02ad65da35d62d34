"""One driver a socket: running ones are respected, leftovers replaced."""

import socket
from pathlib import Path

import pytest

from csi import endpoint
from csi.endpoint import SocketClaim
from csi.errors import InvalidRequest, Refused


@pytest.mark.parametrize(
    "text",
    ["", "/run/csi.sock", "tcp://127.0.0.1:1", "unix://relative", "unix:///" + "x" * 107],
)
def test_bad_endpoint_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest):
        endpoint.parse(text)


def test_a_second_driver_is_refused_and_the_first_keeps_its_socket(tmp_path: Path) -> None:
    path = tmp_path / "csi.sock"
    first = SocketClaim(path)
    with pytest.raises(Refused, match=f"another driver is serving {path}"):
        SocketClaim(path)
    first.release()
    SocketClaim(path).release()
    assert list(tmp_path.iterdir()) == []


def test_a_stale_socket_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "csi.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    claim = SocketClaim(path)
    assert not path.exists()
    claim.release()


def test_another_programs_live_socket_is_respected(tmp_path: Path) -> None:
    path = tmp_path / "csi.sock"
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        other.listen()
        with pytest.raises(Refused, match="another program is serving"):
            SocketClaim(path)
        assert path.is_socket()


def test_a_file_in_the_way_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "csi.sock"
    path.write_text("precious")
    with pytest.raises(Refused, match="is no socket"):
        SocketClaim(path)
    assert path.read_text() == "precious"


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidRequest, match="cannot use the socket"):
        SocketClaim(tmp_path / "file" / "csi.sock")
