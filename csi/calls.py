"""What happens around every call: checked, let through one at a time a disk, answered, logged."""

import logging
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, NoReturn

import grpc
from google.protobuf.message import Message

from csi import logs, serial, status, validation
from csi.errors import DiskError
from csi.serial import Turnstile

log = logging.getLogger(__name__)

_SUBJECTS = ("volume_id", "name", "snapshot_id", "group_snapshot_id", "target_snapshot_id")
_QUIET = frozenset({"Probe", "GetPluginInfo", "GetPluginCapabilities"})
"""Calls that come every few seconds and say nothing; logged at debug level when they succeed."""

_PROMPT = frozenset({"GetPluginInfo", "GetPluginCapabilities"})
"""Calls that wait for nothing, and that tell whether the driver still serves at all."""
_PACKAGE = "/csi."
_PATIENCE = 2.0
"""Seconds for which a call waits until another one for the same disk has ended; most take less."""

Answer = Callable[[Any, grpc.ServicerContext], Any]
Observe = Callable[[str, str, float], None]
"""Is told of a call that has ended: its method, the name of its code, how many seconds it took."""


def ignore(method: str, code: str, seconds: float) -> None:
    """Do nothing."""


class CallGuard(grpc.ServerInterceptor):  # type: ignore[misc, unused-ignore]
    """Wraps every RPC of every CSI service; the services themselves only raise domain errors."""

    def __init__(self, turnstile: Turnstile, observe: Observe = ignore) -> None:
        """Make a guard.

        Args:
            turnstile: shared by all servers of this process, since disks are.
            observe: is told of every call that has ended.
        """
        self._turnstile = turnstile
        self._observe = observe
        # A worker of its own: all others may be waiting for LVM.
        self._prompt = ThreadPoolExecutor(1, thread_name_prefix="prompt")

    def intercept_service(
        self,
        continuation: "Callable[[grpc.HandlerCallDetails], grpc.RpcMethodHandler[Any, Any] | None]",
        handler_call_details: grpc.HandlerCallDetails,
    ) -> "grpc.RpcMethodHandler[Any, Any] | None":
        """Return the handler of an RPC with the guard around it."""
        handler = continuation(handler_call_details)
        package, _, method = str(handler_call_details.method).rpartition("/")
        if handler is None or not package.startswith(_PACKAGE):
            return handler  # CSI's rules are not those of kubelet's plugin registration
        wire = (handler.request_deserializer, handler.response_serializer)
        if handler.unary_stream is not None:
            stream = self._streaming(method, handler.unary_stream)
            return grpc.unary_stream_rpc_method_handler(stream, *wire)
        if handler.unary_unary is not None:
            single = self._single(method, handler.unary_unary)
            return grpc.unary_unary_rpc_method_handler(single, *wire)
        return handler

    def _single(self, method: str, answer: Answer) -> Answer:
        def guarded(request: Message, context: grpc.ServicerContext) -> Any:
            with self._guard(method, request, context):
                return answer(request, context)

        if method in _PROMPT:
            # What grpc looks for when it chooses the thread (grpc._server).
            setattr(guarded, "experimental_thread_pool", self._prompt)  # noqa: B010 - for mypy
        return guarded

    def _streaming(self, method: str, answer: Answer) -> Answer:
        def guarded(request: Message, context: grpc.ServicerContext) -> Iterator[Any]:
            with self._guard(method, request, context):
                yield from answer(request, context)

        return guarded

    @contextmanager
    def _guard(
        self, method: str, request: Message, context: grpc.ServicerContext
    ) -> Iterator[None]:
        began = time.monotonic()
        log.debug("%s called", method, extra=logs.facts(request=logs.redacted(request)))
        try:
            validation.check(request)
            with self._turnstile.pass_through(serial.claims(request), _PATIENCE):
                yield
        except DiskError as error:
            code = status.code(error)
            self._record(method, request, began, code, str(error))
            _abort(context, code, str(error))
        except GeneratorExit:
            self._record(method, request, began, grpc.StatusCode.CANCELLED, "the caller went away")
            raise
        except Exception as error:
            log.exception("%s failed in an unforeseen way", method)
            sentence = f"{method} failed in an unforeseen way: {type(error).__name__}: {error}"
            self._record(method, request, began, grpc.StatusCode.INTERNAL, sentence)
            _abort(context, grpc.StatusCode.INTERNAL, sentence)
        self._record(method, request, began, grpc.StatusCode.OK, "")

    def _record(
        self, method: str, request: Message, began: float, code: grpc.StatusCode, error: str
    ) -> None:
        seconds = time.monotonic() - began
        self._observe(method, code.name, seconds)
        level = logging.DEBUG if method in _QUIET and not error else logging.INFO
        if code is grpc.StatusCode.INTERNAL:
            level = logging.ERROR
        took = round(seconds * 1e3, 1)
        about = logs.facts(volume=_subject(request), code=code.name, ms=took, error=error)
        log.log(level, method, extra=about)


def _abort(context: grpc.ServicerContext, code: grpc.StatusCode, sentence: str) -> NoReturn:
    context.abort(code, sentence)
    raise AssertionError("abort always raises")


def _subject(request: Message) -> str:
    known = request.DESCRIPTOR.fields_by_name
    return next((str(getattr(request, name)) for name in _SUBJECTS if name in known), "")
