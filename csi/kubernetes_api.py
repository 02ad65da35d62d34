"""The only module that talks to the Kubernetes API: JSON objects, errors in the domain's words."""

import builtins
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import urllib3
from kubernetes import client, config
from kubernetes.client.exceptions import ApiException
from kubernetes.stream import stream
from kubernetes.stream.ws_client import ERROR_CHANNEL
from websocket import WebSocketException

from csi import DEFAULT_NAMESPACE
from csi.errors import Forbidden, InvalidRequest, NotFound, Unavailable

TIMEOUT = (3.0, 15.0)
"""Seconds to connect and to wait for an answer."""

WATCH = 300
"""Seconds after which a watch ends by itself."""

_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")

_PAGE = "500"

BOOKMARK = "BOOKMARK"

Object = dict[str, Any]


class Conflict(Exception):
    """The object was changed, made or deleted by somebody else meanwhile."""


class Gone(Exception):
    """The server has forgotten the version from which a watch was to go on: list again."""


@dataclass(frozen=True, slots=True)
class Ran:
    """How a command in a container ended, and what it printed."""

    status: int
    """As kubelet has it: one that is started again meanwhile gives a command that it lost sight of
    the status 0 (kubernetes/kubectl#1726), so that 0 alone proves nothing."""
    output: str
    errors: str


class KubernetesApi:
    """An API server, reached by the service account of a pod or by a kubeconfig."""

    def __init__(self, context: str | None = None) -> None:
        """Read where the API server is; it is not called before the first request.

        A kubeconfig's current context counts, or the one that is named. Raises InvalidRequest when
        neither a service account nor a usable kubeconfig is there.
        """
        configuration = client.Configuration()
        try:
            if _NAMESPACE.exists():
                config.load_incluster_config(client_configuration=configuration)
            else:
                # The library itself reads KUBECONFIG only when it is imported.
                place = os.environ.get("KUBECONFIG")
                config.load_kube_config(place, context, client_configuration=configuration)
        except (config.ConfigException, OSError, ValueError, TypeError) as error:
            raise InvalidRequest(
                f"no way to the Kubernetes API: {error}. Run in a pod with a service account, or "
                "let KUBECONFIG name a kubeconfig file"
            ) from error
        # A repeated write cannot be told from another's; who calls repeats.
        configuration.retries = False
        self._client = client.ApiClient(configuration)
        self._host = configuration.host

    @staticmethod
    def own_namespace() -> str:
        """Return the namespace of this pod, or the driver's usual one outside of a cluster."""
        return _NAMESPACE.read_text().strip() if _NAMESPACE.exists() else DEFAULT_NAMESPACE

    @staticmethod
    def context_namespace(context: str | None = None) -> str:
        """Return the namespace that a context of the kubeconfig names, `default` if it does not."""
        try:
            contexts, current = config.list_kube_config_contexts(os.environ.get("KUBECONFIG"))
        except (config.ConfigException, OSError, ValueError, TypeError):
            return "default"
        named = [one for one in contexts if one["name"] == context] or [current]
        return str(named[0]["context"].get("namespace") or "default")

    def get(self, path: str, query: Mapping[str, str] | None = None) -> Object:
        """Return an object or a list; raises NotFound, Unavailable."""
        return self._request("GET", path, query=query)

    def list(self, path: str, query: Mapping[str, str] | None = None) -> builtins.list[Object]:
        """Return all objects of a collection, page by page; raises Unavailable."""
        return self.listing(path, query)[0]

    def listing(
        self, path: str, query: Mapping[str, str] | None = None
    ) -> tuple[builtins.list[Object], str]:
        """Return all objects of a collection, and the version that `watch` goes on from."""
        asked = {**(query or {}), "limit": _PAGE}
        items: builtins.list[Object] = []
        while True:
            try:
                page = self.get(path, asked)
            except Gone as error:
                raise Unavailable(f"{path} changed while it was listed; try again") from error
            items += page["items"]
            token = page["metadata"].get("continue")
            if not token:
                return items, page["metadata"]["resourceVersion"]
            asked["continue"] = token

    def watch(self, path: str, version: str) -> Iterator[tuple[str, Object]]:
        """Yield the changes of a collection since `version`: ADDED, MODIFIED or DELETED, and what.

        A BOOKMARK changes nothing: its object has only the version from which to go on.

        It ends whenever the server likes, normally after minutes. Raises Gone when it has
        forgotten that version, Unavailable.
        """
        query = {
            "watch": "true",
            "resourceVersion": version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(WATCH),
        }
        response = self._send("GET", path, query=query, timeout=(TIMEOUT[0], WATCH + 30.0))
        try:
            if response.status != 200:
                raise self._failure(response.status, response.reason, "GET", path, response.read())
            for line in response.response:
                event = _parsed(line)
                if event.get("type") == "ERROR":
                    raise self._lost(event["object"], path)
                if "object" in event:
                    yield event["type"], event["object"]
        except urllib3.exceptions.HTTPError as error:
            raise self._away(str(error)) from error
        finally:
            response.response.close()

    def _lost(self, status: Object, path: str) -> Exception:
        if status.get("code") == 410:
            return Gone(status.get("message", ""))
        return Unavailable(f"the watch of {path} ended: {status.get('message')}")

    def create(self, path: str, body: Object) -> Object:
        """Make an object in the collection `path`; raises Conflict if it exists, Unavailable."""
        return self._request("POST", path, body)

    def replace(self, path: str, body: Object) -> Object:
        """Replace an object whose resourceVersion is still that of `body`.

        Raises Conflict, NotFound, Unavailable.
        """
        return self._request("PUT", path, body)

    def patch(self, path: str, patch: Object) -> Object:
        """Merge `patch` into an object (RFC 7386); with a resourceVersion in it, of that version.

        Raises Conflict, NotFound, Unavailable.
        """
        return self._request("PATCH", path, patch, kind="merge-patch+json")

    def apply(self, path: str, body: Object, manager: str, *, dry_run: bool = False) -> Object:
        """Have the fields in `body` be so, whoever had them before (server-side apply).

        https://kubernetes.io/docs/reference/using-api/server-side-apply/. Unknown fields are
        refused. Raises Conflict, NotFound, Unavailable.
        """
        query = {"fieldManager": manager, "force": "true", "fieldValidation": "Strict"}
        if dry_run:
            query["dryRun"] = "All"
        return self._request("PATCH", path, _as_yaml(body), query, kind="apply-patch+yaml")

    def delete(
        self, path: str, version: str | None = None, propagation: str = "", uid: str | None = None
    ) -> None:
        """Delete an object, only of that resourceVersion or uid if one is given.

        `propagation` as in Kubernetes: Foreground, Background or, empty, what the kind has as its
        default. Raises Conflict, NotFound, Unavailable.
        """
        only = {"resourceVersion": version, "uid": uid}
        body: Object = {"preconditions": {key: value for key, value in only.items() if value}}
        if propagation:
            body["propagationPolicy"] = propagation
        self._request("DELETE", path, body)

    def text(self, path: str, query: Mapping[str, str] | None = None) -> str:
        """Return what is no JSON, such as a container's log; raises NotFound, Unavailable."""
        return self._read("GET", path, None, query, "json").decode(errors="replace")

    def run(
        self, namespace: str, pod: str, container: str, command: Sequence[str], *, within: float
    ) -> "Ran":
        """Run a command in a container; `within` seconds, or it is left to itself.

        Raises NotFound, Unavailable: the command may have done its work even so.
        """
        exec_ = client.CoreV1Api(self._client).connect_get_namespaced_pod_exec
        try:
            session = stream(
                exec_,
                pod,
                namespace,
                container=container,
                command=[*command],
                stdout=True,
                stderr=True,
                stdin=False,
                _preload_content=False,
            )
        except ApiException as error:
            raise self._not_run(error, pod) from error
        try:
            session.run_forever(timeout=within)
            if session.is_open():
                raise Unavailable(f"{command[0]} in pod {pod} has not ended after {within:g} s")
            status = _exit_status(session.read_channel(ERROR_CHANNEL), command[0], pod)
            return Ran(status, session.read_stdout(), session.read_stderr())
        except (WebSocketException, OSError) as error:
            raise self._away(str(error)) from error
        finally:
            session.close()

    def _not_run(self, error: ApiException, pod: str) -> Exception:
        said = str(error.reason)
        if "404" in said:
            return NotFound(f"there is no pod {pod}")
        return Unavailable(f"the Kubernetes API server does not run commands in pod {pod}: {said}")

    def _request(
        self,
        method: str,
        path: str,
        body: Object | str | None = None,
        query: Mapping[str, str] | None = None,
        kind: str = "json",
    ) -> Object:
        return _parsed(self._read(method, path, body, query, kind))

    def _read(
        self,
        method: str,
        path: str,
        body: Object | str | None,
        query: Mapping[str, str] | None,
        kind: str,
    ) -> bytes:
        response = self._send(method, path, body, query, kind=kind)
        try:
            data: bytes = response.read()
        except urllib3.exceptions.HTTPError as error:
            raise self._away(str(error)) from error
        if 200 <= response.status < 300:
            return data
        raise self._failure(response.status, response.reason, method, path, data)

    def _send(
        self,
        method: str,
        path: str,
        body: Object | str | None = None,
        query: Mapping[str, str] | None = None,
        *,
        timeout: tuple[float, float] = TIMEOUT,
        kind: str = "json",
    ) -> Any:
        headers = {"Accept": "application/json", "Content-Type": f"application/{kind}"}
        prepared = self._client.param_serialize(
            method=method,
            resource_path=path,
            query_params=list((query or {}).items()),
            header_params=headers,
            body=body,
            auth_settings=["BearerToken"],
        )
        try:
            return self._client.call_api(*prepared, _request_timeout=timeout)
        except urllib3.exceptions.HTTPError as error:
            raise self._away(str(error)) from error
        except ApiException as error:
            raise self._away(error.reason) from error

    def _failure(
        self, status: int, reason: str, method: str, path: str, data: bytes | None
    ) -> Exception:
        said = _parsed(data).get("message") or reason
        if status == 404:
            return NotFound(f"the Kubernetes API server says: {said}")
        if status == 409:
            return Conflict(said)
        if status == 410:
            return Gone(said)
        kind = Forbidden if status == 403 else Unavailable
        return kind(f"the Kubernetes API server refuses {method} {path}: {said}")

    def _away(self, why: object) -> Unavailable:
        return Unavailable(f"the Kubernetes API server {self._host} cannot be reached: {why}")


def _exit_status(said: str, program: str, pod: str) -> int:
    """Read what is said at a command's end: a Status (k8s.io/client-go/tools/remotecommand/v4.go).

    Raises Unavailable if it did not come to its end, or was never begun.
    """
    try:
        status: Object = json.loads(said)
    except ValueError:
        raise Unavailable(f"the connection to {program} in pod {pod} was lost") from None
    if status.get("status") == "Success":
        return 0
    for cause in (status.get("details") or {}).get("causes") or []:
        if cause.get("reason") == "ExitCode":
            return int(cause["message"])
    raise Unavailable(f"{program} does not run in pod {pod}: {status.get('message')}")


def _as_yaml(body: Object) -> str:
    """Return JSON that is YAML too, which knows no pairs of escapes for one character."""

    def escaped(found: re.Match[str]) -> str:
        code = ord(found[0])
        return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"

    return re.sub(r"[^ -~]", escaped, json.dumps(body, ensure_ascii=False))


def _parsed(data: bytes | None) -> Object:
    try:
        answer = json.loads(data or b"{}")
    except ValueError:
        return {"message": (data or b"").decode(errors="replace").strip()}
    return answer if isinstance(answer, dict) else {}
