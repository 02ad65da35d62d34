"""`miren-csi call`: one CSI call to a driver, from the command line.

It is how an operator's tools, which reach a driver's pod by `kubectl exec`, have something done by
the driver that runs there: by its own rules, and in turn with all other calls.
"""

import json
import sys
from collections.abc import Mapping, Sequence

import grpc
from google.protobuf import json_format
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from csi import call_words
from csi.stubs import csi_pb2

Answer = dict[str, object]


def main(words: Sequence[str]) -> int:
    """Make the call that the words behind `call` say; return the exit status."""
    parser = call_words.parser()
    chosen = parser.parse_args(words)
    methods = _methods()
    if chosen.method not in methods:
        parser.error(f"no call {chosen.method}; there are {', '.join(sorted(methods))}")
    method = methods[chosen.method]
    try:
        request = json_format.Parse(chosen.request, GetMessageClass(method.input_type)())
    except json_format.ParseError as error:
        parser.error(f"no {method.input_type.name}: {error}")
    with grpc.insecure_channel(chosen.endpoint.replace("unix://", "unix:")) as channel:
        try:
            answer = _answer(channel, method, request, chosen.timeout)
        except grpc.RpcError as error:
            _print({"code": error.code().name, "message": error.details()})
            return 1
    _print(answer)
    return 0


def _answer(
    channel: grpc.Channel, method: MethodDescriptor, request: Message, timeout: float
) -> Answer:
    """Make a call; a stream is read to its end. Raises grpc.RpcError."""
    path = f"/{method.containing_service.full_name}/{method.name}"
    wire = (type(request).SerializeToString, GetMessageClass(method.output_type).FromString)
    if method.server_streaming:
        stream = channel.unary_stream(path, *wire)(request, timeout=timeout)
        # In one object: who reads a part of it only shall not take that for all.
        return {"messages": [_as_json(message) for message in stream]}
    return _as_json(channel.unary_unary(path, *wire)(request, timeout=timeout))


def _as_json(message: Message) -> Answer:
    return dict(json_format.MessageToDict(message, preserving_proto_field_name=True))


def _methods() -> Mapping[str, MethodDescriptor]:
    services = csi_pb2.DESCRIPTOR.services_by_name.values()
    return {method.name: method for service in services for method in service.methods}


def _print(answer: Mapping[str, object]) -> None:
    json.dump(answer, sys.stdout)
    sys.stdout.write("\n")
