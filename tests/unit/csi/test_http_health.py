"""/healthz and /readyz, about a real server on a real socket."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from pathlib import Path

import grpc
import pytest

from csi import http_health
from csi.calls import CallGuard
from csi.errors import Unavailable
from csi.http_server import Page
from csi.identity import IdentityService
from csi.serial import Turnstile
from csi.server import WORKERS, Server
from csi.stubs import csi_pb2, csi_pb2_grpc


class Plugin:
    """A plugin with nothing but Identity, whose pool is as the test says."""

    def __init__(self, folder: Path, *, waits: bool = False) -> None:
        self.address = f"unix://{folder}/csi.sock"
        self.socket = folder / "csi.sock"
        self.pool_works = True
        self.pool_answers = threading.Event()
        self.pool_answers.set()
        self.probed = threading.Semaphore(0)
        identity = IdentityService(self._check, waits=waits)
        self.server = Server(
            self.address,
            [lambda server: csi_pb2_grpc.add_IdentityServicer_to_server(identity, server)],
            CallGuard(Turnstile()),
        )
        self.server.start()

    def _check(self) -> None:
        self.probed.release()
        assert self.pool_answers.wait(30)
        if not self.pool_works:
            raise Unavailable("the thin pool vg/pool is gone")


@pytest.fixture
def plugin(tmp_path: Path) -> Iterator[Plugin]:
    plugin = Plugin(tmp_path)
    yield plugin
    plugin.pool_answers.set()
    plugin.server.stop()


def healthz(plugin: Plugin) -> Page:
    return http_health.page([http_health.serving(plugin.address)])


def readyz(plugin: Plugin) -> Page:
    return http_health.page([http_health.able(plugin.address)])


def test_a_driver_that_serves_is_healthy_and_ready(plugin: Plugin) -> None:
    assert healthz(plugin) == Page("ok")
    assert readyz(plugin) == Page("ok")


def test_a_driver_without_its_pool_is_healthy_but_not_ready(plugin: Plugin) -> None:
    plugin.pool_works = False

    assert healthz(plugin) == Page("ok")
    page = readyz(plugin)
    assert page.status is HTTPStatus.SERVICE_UNAVAILABLE
    assert f"{plugin.address}: FAILED_PRECONDITION" in page.text
    assert "the thin pool vg/pool is gone" in page.text


def test_a_driver_whose_socket_is_gone_is_not_healthy(plugin: Plugin) -> None:
    assert healthz(plugin) == Page("ok")

    plugin.socket.unlink()

    page = healthz(plugin)
    assert page.status is HTTPStatus.SERVICE_UNAVAILABLE
    assert page.text.startswith(f"{plugin.address}: UNAVAILABLE")
    assert readyz(plugin).status is HTTPStatus.SERVICE_UNAVAILABLE


def test_a_connection_from_before_does_not_hide_that_the_socket_is_gone(plugin: Plugin) -> None:
    plugin.pool_answers.clear()
    assert readyz(plugin).status is HTTPStatus.SERVICE_UNAVAILABLE  # its Probe is under way

    plugin.socket.unlink()

    assert healthz(plugin).status is HTTPStatus.SERVICE_UNAVAILABLE


def test_a_driver_that_has_stopped_is_not_healthy(tmp_path: Path) -> None:
    plugin = Plugin(tmp_path)
    plugin.server.stop()

    assert healthz(plugin).status is HTTPStatus.SERVICE_UNAVAILABLE


def test_a_pool_that_hangs_is_asked_once_and_told(plugin: Plugin) -> None:
    plugin.pool_answers.clear()
    able = http_health.able(plugin.address)

    assert "no answer within 2 s" in able()
    assert "no answer within 2 s" in able()

    assert plugin.probed.acquire(blocking=False)
    assert not plugin.probed.acquire(blocking=False)


def test_a_driver_is_healthy_even_when_every_worker_waits_for_the_pool(plugin: Plugin) -> None:
    plugin.pool_answers.clear()
    with (
        grpc.insecure_channel(plugin.address) as channel,
        ThreadPoolExecutor(WORKERS + 10) as callers,
    ):
        identity = csi_pb2_grpc.IdentityStub(channel)
        calls = [
            callers.submit(identity.Probe, csi_pb2.ProbeRequest()) for _ in range(WORKERS + 10)
        ]
        for _ in range(WORKERS):
            assert plugin.probed.acquire(timeout=10)

        assert healthz(plugin) == Page("ok")

        plugin.pool_answers.set()
        for call in calls:
            assert call.result().ready.value


def test_all_that_is_wrong_is_told_a_line_each() -> None:
    page = http_health.page([lambda: "no socket", lambda: "", lambda: "no pool"])
    assert page == Page("no socket\nno pool\n", HTTPStatus.SERVICE_UNAVAILABLE)


def test_a_plugin_that_waits_for_others_says_so_without_an_error(tmp_path: Path) -> None:
    plugin = Plugin(tmp_path, waits=True)
    try:
        assert readyz(plugin).text == "ok"
        plugin.pool_works = False
        with grpc.insecure_channel(plugin.address) as channel:
            answer = csi_pb2_grpc.IdentityStub(channel).Probe(csi_pb2.ProbeRequest())
        assert not answer.ready.value
        assert readyz(plugin).status is HTTPStatus.SERVICE_UNAVAILABLE
        assert "not ready yet" in readyz(plugin).text
    finally:
        plugin.server.stop()
