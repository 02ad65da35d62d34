"""Logs are one line a record, and never contain a secret."""

import json
import logging

from csi import logs
from csi.stubs import csi_pb2


def record(message: str, **facts: object) -> logging.LogRecord:
    made = logging.LogRecord("csi", logging.INFO, "file", 1, message, (), None)
    made.__dict__.update(logs.facts(**facts))
    return made


def test_text_line_has_facts_and_stays_one_line() -> None:
    line = logs.TextLines().format(record("Create\nVolume", volume="pg data", ms=1.5, error=""))
    assert line.endswith('INFO Create Volume volume="pg data" ms=1.5')
    assert "\n" not in line


def test_json_line_is_json() -> None:
    line = json.loads(logs.JsonLines().format(record("CreateVolume", volume="pgdata", code="OK")))
    assert line["message"] == "CreateVolume"
    assert (line["volume"], line["code"], line["level"]) == ("pgdata", "OK", "info")


def test_secrets_and_mount_flags_are_stripped() -> None:
    mount = csi_pb2.VolumeCapability.MountVolume(fs_type="ext4", mount_flags=["password=hunter2"])
    request = csi_pb2.NodeStageVolumeRequest(
        volume_id="pgdata",
        secrets={"key": "hunter2"},
        volume_capability=csi_pb2.VolumeCapability(mount=mount),
    )
    shown = logs.redacted(request)
    assert "hunter2" not in json.dumps(shown)
    assert shown["volume_id"] == "pgdata"
    assert shown["volume_capability"]["mount"]["fs_type"] == "ext4"
