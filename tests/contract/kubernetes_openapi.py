"""What a real API server says of its objects: their schemas, and whether it would take one.

Its OpenAPI v3 documents, one for each group and version, tell the schema of a kind and the path to
create one: https://kubernetes.io/docs/concepts/overview/kubernetes-api/
"""

import functools
import json
import urllib.error
from typing import Any

import jsonschema

from deploy import Manifest
from tests.cluster.api_server import ApiServer

_KIND = "x-kubernetes-group-version-kind"


class KubernetesOpenApi:
    """Checks manifests by the documents of one server, which are read once."""

    def __init__(self, server: ApiServer) -> None:
        """Args: server: a running one."""
        self._server = server
        self._document = functools.cache(self._read_document)
        self._validator = functools.cache(self._make_validator)

    def mistakes(self, manifest: Manifest) -> list[str]:
        """Return what the schema of its kind has against a manifest; asks the server nothing."""
        validator = self._validator(manifest["apiVersion"], manifest["kind"])
        return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(manifest)]

    def refusal(self, manifest: Manifest) -> str:
        """Return why the server would not create it, or nothing; it creates nothing."""
        try:
            self._create(manifest)
        except urllib.error.HTTPError as error:
            message: str = json.loads(error.read())["message"]
            return message
        return ""

    def completed(self, manifest: Manifest) -> Manifest:
        """Return it with the defaults that the server gives, nothing where it would refuse it."""
        try:
            made = self._create(manifest)
        except urllib.error.HTTPError:
            return {}
        text = json.dumps({**made, "metadata": {**made["metadata"], "managedFields": None}})
        metadata, spec = made["metadata"], made.get("spec", {})
        # What it makes up itself is something else each time.
        for value in (metadata["uid"], metadata["creationTimestamp"], spec.get("clusterIP", "")):
            text = text.replace(json.dumps(value), '""')
        completed: Manifest = json.loads(text)
        return completed

    def _create(self, manifest: Manifest) -> Manifest:
        query = "dryRun=All&fieldValidation=Strict&fieldManager=tests"
        return self._server.request("POST", f"{self._path(manifest)}?{query}", manifest)

    def make_namespace(self, name: str) -> None:
        """Create a namespace for real, unless it is there."""
        try:
            self._server.request("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
        except urllib.error.HTTPError as error:
            if error.code != 409:
                raise

    def _read_document(self, api_version: str) -> dict[str, Any]:
        path = f"apis/{api_version}" if "/" in api_version else f"api/{api_version}"
        return self._server.request("GET", f"/openapi/v3/{path}")

    def _make_validator(self, api_version: str, kind: str) -> jsonschema.Draft4Validator:
        components = self._document(api_version)["components"]
        [name] = [
            name
            for name, schema in components["schemas"].items()
            if _is_kind(schema.get(_KIND, []), api_version, kind)
        ]
        schema = {"components": _strict(components), "$ref": f"#/components/schemas/{name}"}
        # OpenAPI 3.0 builds on a draft between 4 and 5.
        return jsonschema.Draft4Validator(schema)

    def _path(self, manifest: Manifest) -> str:
        api_version, kind = manifest["apiVersion"], manifest["kind"]
        paths = self._document(api_version)["paths"]
        namespace = manifest["metadata"].get("namespace", "default")
        [path] = [
            path
            for path, operations in paths.items()
            if operations.get("post", {}).get("x-kubernetes-action") == "post"
            and _is_kind([operations["post"].get(_KIND, {})], api_version, kind)
            and "{name}" not in path
        ]
        return str(path).format(namespace=namespace)


def _is_kind(kinds: list[dict[str, str]], api_version: str, kind: str) -> bool:
    group, _, version = api_version.rpartition("/")
    return {"group": group, "version": version, "kind": kind} in kinds


def _strict(schema: Any) -> Any:
    """Return the schemas so that they refuse fields that they do not know."""
    if isinstance(schema, list):
        return [_strict(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    parts = {key: _strict(part) for key, part in schema.items()}
    is_closed = isinstance(parts.get("properties"), dict) and parts.get("type") == "object"
    return {"additionalProperties": False, **parts} if is_closed else parts
