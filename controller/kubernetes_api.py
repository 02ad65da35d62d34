"""The only module that talks to the Kubernetes API: JSON objects, errors in the domain's words."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import urllib3
from kubernetes import client, config
from kubernetes.client.exceptions import ApiException

from csi.errors import InvalidRequest, NotFound, Unavailable

TIMEOUT = (3.0, 15.0)
"""Seconds to connect and to wait for an answer."""

DEFAULT_NAMESPACE = "miren-system"

_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")

Object = dict[str, Any]


class Conflict(Exception):
    """The object was changed, made or deleted by somebody else meanwhile."""


class KubernetesApi:
    """An API server, reached by the service account of a pod or by a kubeconfig."""

    def __init__(self) -> None:
        """Read where the API server is; it is not called before the first request.

        Raises InvalidRequest when neither a service account nor a usable kubeconfig is there.
        """
        configuration = client.Configuration()
        try:
            if _NAMESPACE.exists():
                config.load_incluster_config(client_configuration=configuration)
            else:
                # The library itself reads KUBECONFIG only when it is imported.
                place = os.environ.get("KUBECONFIG")
                config.load_kube_config(place, client_configuration=configuration)
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

    def get(self, path: str, query: Mapping[str, str] | None = None) -> Object:
        """Return an object or a list; raises NotFound, Unavailable."""
        return self._request("GET", path, query=query)

    def create(self, path: str, body: Object) -> Object:
        """Make an object in the collection `path`; raises Conflict if it exists, Unavailable."""
        return self._request("POST", path, body)

    def replace(self, path: str, body: Object) -> Object:
        """Replace an object whose resourceVersion is still that of `body`.

        Raises Conflict, NotFound, Unavailable.
        """
        return self._request("PUT", path, body)

    def delete(self, path: str, version: str) -> None:
        """Delete an object of that resourceVersion; raises Conflict, NotFound, Unavailable."""
        self._request("DELETE", path, {"preconditions": {"resourceVersion": version}})

    def _request(
        self,
        method: str,
        path: str,
        body: Object | None = None,
        query: Mapping[str, str] | None = None,
    ) -> Object:
        headers = {"Accept": "application/json", "Content-Type": "application/json"}
        prepared = self._client.param_serialize(
            method=method,
            resource_path=path,
            query_params=list((query or {}).items()),
            header_params=headers,
            body=body,
            auth_settings=["BearerToken"],
        )
        try:
            response = self._client.call_api(*prepared, _request_timeout=TIMEOUT)
            data = response.read()
        except urllib3.exceptions.HTTPError as error:
            raise self._away(str(error)) from error
        except ApiException as error:
            raise self._away(error.reason) from error
        answer = _parsed(data)
        if 200 <= response.status < 300:
            return answer
        said = answer.get("message") or response.reason
        if response.status == 404:
            raise NotFound(f"the Kubernetes API server says: {said}")
        if response.status == 409:
            raise Conflict(said)
        raise Unavailable(f"the Kubernetes API server refuses {method} {path}: {said}")

    def _away(self, why: object) -> Unavailable:
        return Unavailable(f"the Kubernetes API server {self._host} cannot be reached: {why}")


def _parsed(data: bytes | None) -> Object:
    try:
        answer = json.loads(data or b"{}")
    except ValueError:
        return {"message": (data or b"").decode(errors="replace").strip()}
    return answer if isinstance(answer, dict) else {}
