"""`miren-csi call`: one CSI call to a driver, from the command line.

It is how an operator's tools, which reach a driver's pod by `kubectl exec`, have something done by
the driver that runs there: by its own rules, and in turn with all other calls.
"""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence

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
    path = f"/{method.containing_service.full_name}/{method.name}"
    wire = (type(request).SerializeToString, GetMessageClass(method.output_type).FromString)
    with grpc.insecure_channel(chosen.endpoint.replace("unix://", "unix:")) as channel:
        if method.server_streaming:
            return _print_stream(channel.unary_stream(path, *wire)(request, timeout=chosen.timeout))
        try:
            answer = channel.unary_unary(path, *wire)(request, timeout=chosen.timeout)
        except grpc.RpcError as error:
            _print(_refusal(error))
            return 1
    _print(_as_json(answer))
    return 0


def _print_stream(messages: Iterator[Message]) -> int:
    """Print messages as they come, in one object, of which nobody can take a part for all of it."""
    sys.stdout.write('{"messages": [')
    between, refused = "", ""
    try:
        for message in messages:
            sys.stdout.write(between + json.dumps(_as_json(message)))
            between = ", "
    except grpc.RpcError as error:
        refused = ", " + json.dumps(_refusal(error))[1:-1]
    sys.stdout.write(f"]{refused}}}\n")
    return 1 if refused else 0


def _refusal(error: grpc.RpcError) -> Answer:
    return {"code": error.code().name, "message": error.details()}


def _as_json(message: Message) -> Answer:
    return dict(json_format.MessageToDict(message, preserving_proto_field_name=True))


def _methods() -> Mapping[str, MethodDescriptor]:
    services = csi_pb2.DESCRIPTOR.services_by_name.values()
    return {method.name: method for service in services for method in service.methods}


def _print(answer: Mapping[str, object]) -> None:
    json.dump(answer, sys.stdout)
    sys.stdout.write("\n")
