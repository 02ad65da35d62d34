"""What happens around every call: checked, let through one at a time a disk, answered, logged."""

import logging
import time
from collections.abc import Callable, Iterator
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

Answer = Callable[[Any, grpc.ServicerContext], Any]


class CallGuard(grpc.ServerInterceptor):  # type: ignore[misc, unused-ignore]
    """Wraps every RPC of every service; the services themselves only raise domain errors."""

    def __init__(self, turnstile: Turnstile) -> None:
        """Args: turnstile: shared by all servers of this process, since disks are."""
        self._turnstile = turnstile

    def intercept_service(
        self,
        continuation: "Callable[[grpc.HandlerCallDetails], grpc.RpcMethodHandler[Any, Any] | None]",
        handler_call_details: grpc.HandlerCallDetails,
    ) -> "grpc.RpcMethodHandler[Any, Any] | None":
        """Return the handler of an RPC with the guard around it."""
        handler = continuation(handler_call_details)
        if handler is None:
            return None
        method = str(handler_call_details.method).rpartition("/")[2]
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
            with self._turnstile.pass_through(serial.claims(request)):
                yield
        except DiskError as error:
            code = status.code(error)
            _record(method, request, began, code, str(error))
            _abort(context, code, str(error))
        except GeneratorExit:
            _record(method, request, began, grpc.StatusCode.CANCELLED, "the caller went away")
            raise
        except Exception as error:
            log.exception("%s failed in an unforeseen way", method)
            sentence = f"{method} failed in an unforeseen way: {type(error).__name__}: {error}"
            _record(method, request, began, grpc.StatusCode.INTERNAL, sentence)
            _abort(context, grpc.StatusCode.INTERNAL, sentence)
        _record(method, request, began, grpc.StatusCode.OK, "")


def _abort(context: grpc.ServicerContext, code: grpc.StatusCode, sentence: str) -> NoReturn:
    context.abort(code, sentence)
    raise AssertionError("abort always raises")


def _record(method: str, request: Message, began: float, code: grpc.StatusCode, error: str) -> None:
    level = logging.DEBUG if method in _QUIET and not error else logging.INFO
    if code is grpc.StatusCode.INTERNAL:
        level = logging.ERROR
    took = round((time.monotonic() - began) * 1e3, 1)
    about = logs.facts(volume=_subject(request), code=code.name, ms=took, error=error)
    log.log(level, method, extra=about)


def _subject(request: Message) -> str:
    known = request.DESCRIPTOR.fields_by_name
    return next((str(getattr(request, name)) for name in _SUBJECTS if name in known), "")
