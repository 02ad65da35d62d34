"""Leases in one readable JSON file, for use without a Kubernetes API server."""

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from controller import lease_record
from controller.lease import Lease
from controller.leases import Change
from csi.errors import InvalidRequest, Unavailable

VERSION = 1

_to_json = json.JSONEncoder(ensure_ascii=False).encode


class LeaseFile:
    """A store of leases that several processes may share and a crash at any moment cannot harm.

    Writers exclude each other by a lock on a second file, `PATH.lock`, which stays. A change is
    written to `PATH.new`, made durable and renamed over the file, so that readers need no lock.
    """

    def __init__(self, path: Path) -> None:
        """Use the file at `path`; its folder is made when it is missing, the file when needed.

        Raises:
            InvalidRequest: the folder cannot be made or written, or `path` is a folder.
            Unavailable: the file is damaged.
        """
        self._path = path.resolve()
        self._lock = self._path.with_name(self._path.name + ".lock")
        self._new = self._path.with_name(self._path.name + ".new")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._locked():
                self._load()
        except OSError as error:
            raise InvalidRequest(f"the lease file {path} cannot be used: {error}") from error

    def read(self, disk: str) -> Lease | None:
        """Return the disk's lease, None when it never had one."""
        with self._reporting("read"):
            return self._decoded(disk, self._load())

    def list(self) -> list[Lease]:
        """Return all leases, sorted by disk."""
        with self._reporting("read"):
            records = self._load()
            found = (self._decoded(disk, records) for disk in sorted(records))
            return [lease for lease in found if lease is not None]

    def update(self, disk: str, change: Change) -> Lease | None:
        """Replace the disk's lease by what `change` makes of it, and return that."""
        with self._reporting("written"), self._locked():
            records = self._load()
            before = self._decoded(disk, records)
            after = change(before)
            if after != before:
                records.pop(disk, None)
                self._save(records | ({disk: lease_record.encode(after)} if after else {}))
            return after

    def delete(self, disk: str) -> None:
        """Remove the disk's record, if there is one."""
        self.update(disk, lambda _: None)

    @contextlib.contextmanager
    def _reporting(self, verb: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise Unavailable(f"the lease file {self._path} cannot be {verb}: {error}") from error

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        # flock belongs to the open file: opened anew each time, it excludes threads as well.
        with self._lock.open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _load(self) -> dict[str, Any]:
        """Return the records as they are in the file; only those that are needed get decoded."""
        try:
            text = self._path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return {}
        except UnicodeDecodeError as error:
            raise self._damaged(str(error)) from error
        try:
            document = json.loads(text)
            version, records = document["version"], dict(document["leases"])
        except lease_record.WRONG as error:
            raise self._damaged(f"{type(error).__name__}: {error}") from error
        if version != VERSION:
            raise self._damaged(f"version {version} is unknown, {VERSION} is known")
        return records

    def _decoded(self, disk: str, records: Mapping[str, Any]) -> Lease | None:
        if disk not in records:
            return None
        try:
            return lease_record.decode(disk, records[disk])
        except lease_record.WRONG as error:
            raise self._damaged(f'at disk "{disk}": {type(error).__name__}: {error}') from error

    def _damaged(self, why: str) -> Unavailable:
        return Unavailable(
            f"the lease file {self._path} is damaged ({why}); it is left as it is. Repair it, or "
            "move it away when no disk is in use: it says who holds disks, and nothing else"
        )

    def _save(self, records: Mapping[str, Any]) -> None:
        # A line for each disk: readable, and many times faster to write than an indented tree.
        lines = (
            f"{_to_json(disk)}: {_to_json(record)}" for disk, record in sorted(records.items())
        )
        leases = ",".join(f"\n    {line}" for line in lines)
        with self._new.open("w", encoding="utf-8") as file:
            file.write(f'{{\n  "version": {VERSION},\n  "leases": {{{leases}\n  }}\n}}\n')
            file.flush()
            os.fsync(file.fileno())
        self._new.replace(self._path)
        folder = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
