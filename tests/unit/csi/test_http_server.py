"""The HTTP server, over real sockets."""

import http.client
import socket
from collections.abc import Iterator
from http import HTTPStatus

import pytest

from csi import http_address
from csi.errors import InvalidRequest
from csi.http_address import Address
from csi.http_server import HttpServer, Page


def broken() -> Page:
    raise ZeroDivisionError("oops")


PAGES = {
    "/good": lambda: Page("fine", kind="text/fancy"),
    "/bad": lambda: Page("ill", HTTPStatus.SERVICE_UNAVAILABLE),
    "/broken": broken,
}


def asked(port: int, method: str, path: str, host: str = "127.0.0.1") -> tuple[int, str, str]:
    """The status, Content-Type and body of an answer."""
    connection = http.client.HTTPConnection(host, port, timeout=10)
    connection.request(method, path)
    answer = connection.getresponse()
    body = answer.read().decode()
    connection.close()
    return answer.status, answer.headers["Content-Type"], body


@pytest.fixture
def server() -> Iterator[HttpServer]:
    server = HttpServer(Address("", 0), PAGES)
    server.start()
    yield server
    server.stop()


def test_a_page_is_its_text_status_and_kind(server: HttpServer) -> None:
    assert asked(server.port, "GET", "/good") == (200, "text/fancy", "fine")
    assert asked(server.port, "GET", "/good?x=1") == (200, "text/fancy", "fine")
    assert asked(server.port, "GET", "/bad") == (503, "text/plain; charset=utf-8", "ill")


def test_head_is_get_without_the_text(server: HttpServer) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as client:
        client.sendall(b"HEAD /good HTTP/1.0\r\n\r\n")
        with client.makefile("r", newline="") as answer:
            head, _, body = answer.read().partition("\r\n\r\n")
    assert " 200 " in head.splitlines()[0]
    assert "Content-Length: 4" in head
    assert body == ""
    assert asked(server.port, "HEAD", "/bad")[0] == 503


def test_other_paths_are_not_found(server: HttpServer) -> None:
    status, _, body = asked(server.port, "GET", "/")
    assert status == 404
    assert "/good, /bad, /broken" in body
    assert asked(server.port, "HEAD", "/nothing")[0] == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "BREW"])
def test_pages_can_only_be_read(server: HttpServer, method: str) -> None:
    assert asked(server.port, method, "/good")[0] == 405


def test_nonsense_is_a_bad_request(server: HttpServer) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as client:
        client.sendall(b"what is this nonsense here\r\n\r\n")
        assert b" 400 " in client.recv(1000)
    assert asked(server.port, "GET", "/good")[0] == 200


def test_a_bug_in_a_page_is_told_and_harms_no_other(server: HttpServer) -> None:
    status, _, body = asked(server.port, "GET", "/broken")
    assert (status, body) == (500, "ZeroDivisionError: oops\n")
    assert asked(server.port, "GET", "/good")[0] == 200


def test_a_client_that_says_nothing_holds_nobody_up(server: HttpServer) -> None:
    with socket.create_connection(("127.0.0.1", server.port)):
        assert asked(server.port, "GET", "/good")[0] == 200
        server.stop()
    with pytest.raises(ConnectionRefusedError):
        asked(server.port, "GET", "/good")


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="no IPv6 here")
def test_all_addresses_are_ipv6_and_ipv4(server: HttpServer) -> None:
    assert asked(server.port, "GET", "/good", host="::1")[0] == 200
    assert asked(server.port, "GET", "/good", host="127.0.0.1")[0] == 200


def test_one_address_is_no_other() -> None:
    server = HttpServer(Address("127.0.0.1", 0), PAGES)
    server.start()
    assert asked(server.port, "GET", "/good")[0] == 200
    with pytest.raises(ConnectionRefusedError):
        asked(server.port, "GET", "/good", host="127.0.0.2")
    server.stop()


@pytest.mark.parametrize("host", ["", "127.0.0.1"])
def test_a_port_in_use_is_told(server: HttpServer, host: str) -> None:
    with pytest.raises(InvalidRequest, match=f":{server.port}: Address already in use"):
        HttpServer(Address(host, server.port), PAGES)


def test_an_address_of_another_machine_is_told() -> None:
    with pytest.raises(InvalidRequest, match=r"cannot serve HTTP on 192\.0\.2\.1:1"):
        HttpServer(Address("192.0.2.1", 1), PAGES)


def test_a_server_that_was_never_started_lets_its_port_go() -> None:
    server = HttpServer(Address("127.0.0.1", 0), PAGES)
    server.stop()
    HttpServer(Address("127.0.0.1", server.port), PAGES).stop()


@pytest.mark.parametrize(
    ("text", "address"),
    [
        (":9808", Address("", 9808)),
        ("0.0.0.0:80", Address("0.0.0.0", 80)),
        ("localhost:0", Address("localhost", 0)),
        ("[::1]:9808", Address("::1", 9808)),
        ("[::]:65535", Address("::", 65535)),
    ],
)
def test_addresses(text: str, address: Address) -> None:
    assert http_address.parse(text) == address
    assert str(address) == text


@pytest.mark.parametrize(
    "text", ["9808", "localhost", "localhost:", ":", ":http", "::1:80", ":-1", ":65536", ":\u0661"]
)
def test_bad_addresses(text: str) -> None:
    with pytest.raises(ValueError, match=r"must be ADDRESS:PORT or :PORT|at most 65535"):
        http_address.parse(text)
