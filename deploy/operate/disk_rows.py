"""Disks in the forms in which they are listed."""

import json
from collections.abc import Sequence

import yaml

from deploy.operate.overview import DiskFacts
from deploy.operate.tables import Table, age, document, short

_HEAD = ("NAME", "SIZE", "USED", "FS", "STATE", "HOLDER", "CLAIM", "NODE", "AGE")
_WIDE = (*_HEAD, "PV", "CREATED-BY", "PROBLEMS")
_AGE = _HEAD.index("AGE")


class DiskRows:
    """Shows disks: all that there are, or one after the other as they change."""

    def __init__(self, form: str) -> None:
        """Args: form: one of `arguments.FORMATS`."""
        self._form = form
        self._is_wide = form == "wide"
        self._table = Table(_WIDE if self._is_wide else _HEAD)
        self._has_head = False

    def all(self, disks: Sequence[DiskFacts]) -> str:
        """Return all disks as one text."""
        if self._form == "name":
            return "".join(f"{one.name}\n" for one in disks)
        if self._form in {"json", "yaml"}:
            return document([one.document() for one in disks], self._form)
        return self._rows(disks) if disks else "no disks\n"

    def more(self, disks: Sequence[DiskFacts]) -> str:
        """Return disks to be printed after others: rows, or a document for each of them."""
        if not disks:
            return ""
        documents = [one.document() for one in disks]
        if self._form == "json":
            return "".join(f"{json.dumps(one, ensure_ascii=False)}\n" for one in documents)
        if self._form == "yaml":
            return str(
                yaml.safe_dump_all(
                    documents, sort_keys=False, allow_unicode=True, explicit_start=True
                )
            )
        return self.all(disks) if self._form == "name" else self._rows(disks)

    def looks(self, disk: DiskFacts) -> object:
        """Return what is shown of a disk, but for what changes with time alone."""
        if self._form in {"json", "yaml"}:
            return disk.document()
        if self._form == "name":
            return disk
        row = self._row(disk)
        return row[:_AGE] + row[_AGE + 1 :]

    def _rows(self, disks: Sequence[DiskFacts]) -> str:
        with_head, self._has_head = not self._has_head, True
        return self._table.show([*map(self._row, disks)], with_head=with_head)

    def _row(self, disk: DiskFacts) -> tuple[str, ...]:
        row = (
            disk.name,
            short(disk.size),
            "" if disk.used is None else short(disk.used),
            disk.filesystem,
            disk.state,
            disk.holder,
            disk.claim,
            disk.node,
            age(disk.created),
        )
        if not self._is_wide:
            return row
        return (*row, disk.volume, disk.created_by, ", ".join(disk.problems))
