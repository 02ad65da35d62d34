"""Logs as lines: for people or as JSON, one line a record, secrets never in them."""

import json
import logging
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from google.protobuf.message import Message

from csi.stubs import csi_pb2

LEVELS = ("debug", "info", "warning", "error")
FORMATS = ("text", "json")

_SENSITIVE = frozenset({"mount_flags"})
"""Fields that may hold secrets without being marked so (CSI spec, MountVolume.mount_flags)."""


class TextLines(logging.Formatter):
    """`2026-11-25T10:00:00.123Z INFO message key=value …`."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line."""
        words = [_time(record), record.levelname, _one_line(record.getMessage())]
        words += [f"{key}={_quoted(value)}" for key, value in _facts(record).items()]
        return " ".join(words) + _traceback(self, record)


class JsonLines(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line of JSON."""
        line: dict[str, Any] = {"time": _time(record), "level": record.levelname.lower()}
        line |= {"message": record.getMessage(), **_facts(record)}
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def set_up(level: str, style: str) -> None:
    """Send all logs from `level` on to standard error in the style `text` or `json`."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if style == "json" else TextLines())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)


def facts(**values: object) -> dict[str, dict[str, object]]:
    """Return the `extra` argument that adds key=value facts to a log record."""
    return {"facts": {key: value for key, value in values.items() if value not in ("", None)}}


def redacted(message: Message) -> dict[str, Any]:
    """Return a request as plain data, without any field that is or may be secret."""
    shown: dict[str, Any] = {}
    for field, value in message.ListFields():
        if field.name in _SENSITIVE or field.GetOptions().Extensions[csi_pb2.csi_secret]:
            shown[field.name] = "***stripped***"
        elif field.message_type is None:
            shown[field.name] = list(value) if field.is_repeated else value
        elif field.message_type.GetOptions().map_entry:
            shown[field.name] = dict(value)
        elif field.is_repeated:
            shown[field.name] = [redacted(item) for item in value]
        else:
            shown[field.name] = redacted(value)
    return shown


def _facts(record: logging.LogRecord) -> Mapping[str, Any]:
    found = getattr(record, "facts", {})
    return found if isinstance(found, dict) else {}


def _time(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _quoted(value: object) -> str:
    text = str(value)
    return text if text and not set(text) & set(' "=\n') else json.dumps(text, ensure_ascii=False)


def _one_line(text: str) -> str:
    return " ".join(text.splitlines())


def _traceback(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    return f"\n{formatter.formatException(record.exc_info)}" if record.exc_info else ""
