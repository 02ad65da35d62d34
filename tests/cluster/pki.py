"""A certificate authority for one cluster: certificates and kubeconfigs."""

import base64
import json
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.network import GATEWAY

_DAYS = "30"
_CONFIG = "[req]\ndistinguished_name = name\n[name]\n"
_NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")


@dataclass(frozen=True, slots=True)
class Identity:
    """A certificate and its private key, both as PEM files."""

    certificate: Path
    key: Path


class Pki:
    """Makes what servers and users show to each other; all of it lies in `folder`."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self._folder = folder
        self._config = folder / "openssl.cnf"
        self._config.write_text(_CONFIG)
        self.ca = self._files("ca")
        self._request(self.ca, "/CN=miren-csi-tests", "basicConstraints=critical,CA:TRUE")
        self.service_accounts = folder / "service-accounts.key"
        """The key that signs and checks the tokens of service accounts."""
        curve = ("-name", "prime256v1", "-genkey", "-noout")
        _openssl("ecparam", *curve, "-out", self.service_accounts)

    def issue(
        self, user: str, groups: Sequence[str] = (), addresses: Sequence[str] = ()
    ) -> Identity:
        """A certificate for a user, or for a server with these names (`DNS:...`, `IP:...`)."""
        identity = self._files(re.sub(r"[^\w.-]", "-", user))
        subject = "".join(f"/O={group}" for group in groups) + f"/CN={user}"
        names = [f"subjectAltName={','.join(addresses)}"] if addresses else []
        signer = ("-CA", self.ca.certificate, "-CAkey", self.ca.key)
        self._request(identity, subject, "basicConstraints=critical,CA:FALSE", *names, sign=signer)
        return identity

    def kubeconfig(self, user: str, groups: Sequence[str] = ()) -> Path:
        """A kubeconfig with which one is that user, a member of these groups."""
        identity = self.issue(user, groups)
        cluster = {
            "server": f"https://{GATEWAY}",
            "certificate-authority-data": _base64(self.ca.certificate),
        }
        credentials = {
            "client-certificate-data": _base64(identity.certificate),
            "client-key-data": _base64(identity.key),
        }
        path = identity.certificate.with_suffix(".kubeconfig")
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "tests", "cluster": cluster}],
            "users": [{"name": user, "user": credentials}],
            "contexts": [{"name": "tests", "context": {"cluster": "tests", "user": user}}],
            "current-context": "tests",
        }
        path.write_text(json.dumps(content, indent=1))
        return path

    def _files(self, name: str) -> Identity:
        return Identity(self._folder / f"{name}.crt", self._folder / f"{name}.key")

    def _request(
        self, to: Identity, subject: str, *extensions: str, sign: Sequence[str | Path] = ()
    ) -> None:
        added = [word for extension in extensions for word in ("-addext", extension)]
        about = ("-config", self._config, "-subj", subject, "-days", _DAYS)
        files = ("-keyout", to.key, "-out", to.certificate)
        _openssl("req", "-x509", *_NEW_KEY, *about, *added, *sign, *files)


def _base64(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()


def _openssl(*arguments: str | Path) -> None:
    ended = subprocess.run(
        ["openssl", *arguments], stdin=subprocess.DEVNULL, capture_output=True, check=False
    )
    if ended.returncode != 0:
        raise OSError(f"openssl {arguments[0]}: {ended.stderr.decode().strip()}")
