"""A node's pool, served to the cluster's controller over TLS.

Both sides show the same certificate and trust no other: whoever has its key may do anything to the
node's disks.
"""

import logging
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any

import grpc

from controller import pool_wire
from controller.pool import Pool
from controller.pool_wire import SERVICE, VERBS, Answer
from csi.errors import DiskError, InvalidRequest
from csi.http_address import Address
from csi.key_pair import KeyPair

log = logging.getLogger(__name__)

WORKERS = 32
"""Calls that run at once."""

GRACE = 60.0
"""Seconds that running calls get to finish at a stop."""


class PoolServer:
    """Answers the verbs of `controller.pool_wire`."""

    def __init__(self, pool: Pool, address: Address, keys: KeyPair) -> None:
        """Bind; nothing is answered before `start`.

        Raises InvalidRequest when the address is not to be had.
        """
        self._pool = pool
        self._executor = ThreadPoolExecutor(WORKERS, thread_name_prefix="pool")
        size = ("grpc.max_receive_message_length", pool_wire.LONGEST)
        self._server = grpc.server(self._executor, options=[size, ("grpc.so_reuseport", 0)])
        handlers = {verb: self._handler(verb) for verb in VERBS}
        self._server.add_generic_rpc_handlers(
            [grpc.method_handlers_generic_handler(SERVICE, handlers)]
        )
        credentials = grpc.ssl_server_credentials(
            [(keys.key, keys.certificate)], keys.certificate, require_client_auth=True
        )
        try:
            everywhere = Address("::", address.port)  # gRPC takes it for IPv4 as well
            self.port = self._server.add_secure_port(
                str(address if address.host else everywhere), credentials
            )
        except RuntimeError as error:
            raise InvalidRequest(f"cannot serve the pool at {address}: {error}") from error

    def start(self) -> None:
        """Begin to answer."""
        self._server.start()
        log.info("serving the pool at port %d", self.port)

    def stop(self) -> None:
        """Refuse new calls and let running ones finish."""
        self._server.stop(GRACE).wait()
        self._executor.shutdown()

    def _handler(self, verb: str) -> "grpc.RpcMethodHandler[bytes, bytes]":
        if VERBS[verb].is_stream:
            return grpc.unary_stream_rpc_method_handler(lambda data, _: self._stream(verb, data))
        return grpc.unary_unary_rpc_method_handler(lambda data, _: self._answer(verb, data))

    def _answer(self, verb: str, data: bytes) -> bytes:
        began = time.monotonic()
        try:
            given = pool_wire.arguments(verb, data)
            found = self._verb(verb)(*given)
        except DiskError as error:
            log.info("pool %s: %s", verb, error)
            return pool_wire.failed(error)
        log.debug("pool %s: %.0f ms", verb, (time.monotonic() - began) * 1e3)
        return pool_wire.encode(Answer(found))

    def _stream(self, verb: str, data: bytes) -> Iterator[bytes]:
        try:
            extents = iter(self._verb(verb)(*pool_wire.arguments(verb, data)))
            while some := list(islice(extents, pool_wire.BATCH)):
                yield pool_wire.encode(Answer(some))
        except DiskError as error:
            yield pool_wire.failed(error)

    def _verb(self, verb: str) -> Callable[..., Any]:
        found: Callable[..., Any] = getattr(self._pool, verb)
        return found
