"""A small HTTP server for kubelet's probes and Prometheus: a few pages, each made by a function."""

import http.server
import logging
import selectors
import socket
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from csi.errors import InvalidRequest
from csi.http_address import Address

log = logging.getLogger(__name__)

_CLIENT_SECONDS = 10.0
"""How long a client may take to send its request or read the answer."""
_METHODS = ("GET", "HEAD")


@dataclass(frozen=True, slots=True)
class Page:
    """What a path answers."""

    text: str
    status: HTTPStatus = HTTPStatus.OK
    kind: str = "text/plain; charset=utf-8"
    """Its Content-Type."""


Pages = Mapping[str, Callable[[], Page]]


class HttpServer:
    """Serves some pages; each request has a thread of its own."""

    def __init__(self, address: Address, pages: Pages) -> None:
        """Bind the port; who comes before `start` waits.

        Raises InvalidRequest when the address is not this machine's or its port is taken.
        """
        try:
            self._server = _Listener(address, pages)
        except OSError as error:
            raise InvalidRequest(f"cannot serve HTTP on {address}: {error.strerror}") from error
        self._stopped, self._stopping = socket.socketpair()
        self._thread = threading.Thread(target=self._serve, name="http")
        self.port: int = self._server.server_address[1]
        log.info("listening at http://%s", Address(address.host or "localhost", self.port))

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def stop(self) -> None:
        """Let go of the port; requests that are being answered are left to their threads."""
        self._stopping.close()
        if self._thread.is_alive():
            self._thread.join()
        self._server.server_close()
        self._stopped.close()

    def _serve(self) -> None:
        # serve_forever would look twice a second whether it is to end.
        with selectors.DefaultSelector() as awaited:
            awaited.register(self._server, selectors.EVENT_READ)
            awaited.register(self._stopped, selectors.EVENT_READ)
            while all(key.fileobj is self._server for key, _ in awaited.select()):
                self._server.handle_request()


class _Listener(http.server.ThreadingHTTPServer):
    """The standard library's server, on both IPv6 and IPv4 where no address is given."""

    block_on_close = False  # a client that hangs must not hold a stop up
    timeout = 0  # of a client that has gone between its knock and handle_request

    def __init__(self, address: Address, pages: Pages) -> None:
        self.pages = pages
        self.host = address.host
        everywhere = "::" if socket.has_dualstack_ipv6() else "0.0.0.0"
        kinds = socket.getaddrinfo(
            address.host or everywhere, address.port, type=socket.SOCK_STREAM
        )
        self.address_family, *_, place = kinds[0]
        super().__init__((str(place[0]), int(place[1])), _Answering)

    def server_bind(self) -> None:
        """Bind without asking a name server for this machine's name, as HTTPServer does."""
        if self.address_family is socket.AF_INET6 and not self.host:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = self.host, self.server_address[1]

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002
        """A client that went away is no matter for standard error."""
        log.debug("an HTTP client at %s went away", client_address[0], exc_info=True)


class _Answering(http.server.BaseHTTPRequestHandler):
    timeout = _CLIENT_SECONDS
    server: _Listener

    def handle_one_request(self) -> None:
        """Read a request's head and answer it, whatever its method is."""
        self.close_connection = True
        self.raw_requestline = self.rfile.readline(65537)
        if not self.raw_requestline or not self.parse_request():
            return
        page = self._page(self.path.partition("?")[0])
        body = page.text.encode()
        self.send_response(page.status)
        self.send_header("Content-Type", page.kind)
        self.send_header("Content-Length", str(len(body)))
        if page.status is HTTPStatus.METHOD_NOT_ALLOWED:
            self.send_header("Allow", ", ".join(_METHODS))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _page(self, path: str) -> Page:
        make = self.server.pages.get(path)
        if make is None:
            known = ", ".join(self.server.pages)
            return Page(f"there is no {path} here, only {known}\n", HTTPStatus.NOT_FOUND)
        if self.command not in _METHODS:
            return Page(f"{path} can only be read\n", HTTPStatus.METHOD_NOT_ALLOWED)
        try:
            return make()
        except Exception as error:
            log.exception("the page %s failed in an unforeseen way", path)
            sentence = f"{type(error).__name__}: {error}\n"
            return Page(sentence, HTTPStatus.INTERNAL_SERVER_ERROR)

    def version_string(self) -> str:
        """Name no versions to whoever asks."""
        return "miren-csi"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name
        """Probes come every few seconds: a request is nothing to log."""
        log.debug("http %s " + format, self.address_string(), *args)
