"""The audit log survives rotation and full disks, and says who, what, why, with numbers."""

from __future__ import annotations

import errno
import json
import os
from io import FileIO
from pathlib import Path
from typing import Any

import pytest

from sluice.api.status import Phase, Verdict
from sluice.loops.audit import AuditLog, records_of, stall_record

from ..engine.small_cluster import SmallCluster


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines() if line]


def test_each_line_is_there_once_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    audit = AuditLog(str(path))
    audit.write([{"n": 1}, {"n": 2}])
    assert lines(path) == [{"n": 1}, {"n": 2}]
    assert path.stat().st_mode & 0o007 == 0, "it tells who changed what"


def test_a_file_that_was_moved_away_is_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    audit = AuditLog(str(path))
    audit.write([{"n": 1}])
    path.rename(tmp_path / "audit.jsonl.1")
    audit.write([{"n": 2}])
    path.unlink()
    audit.write([{"n": 3}])
    assert lines(tmp_path / "audit.jsonl.1") == [{"n": 1}]
    assert lines(path) == [{"n": 3}]


def test_sighup_opens_it_again(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    audit = AuditLog(str(path))
    audit.write([{"n": 1}])
    before = audit._file
    audit.reopen()
    audit.write([{"n": 2}])
    assert audit._file is not before
    assert lines(path) == [{"n": 1}, {"n": 2}]


class FullDisk(FileIO):
    """Takes a few bytes of each line, then has no space."""

    room = 5

    def write(self, data: Any) -> int:
        if not self.room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        taken = super().write(bytes(data[: self.room]))
        self.room -= taken
        return taken


def test_a_full_disk_is_counted_and_the_next_line_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "audit.jsonl"
    failures: list[int] = []
    audit = AuditLog(str(path), on_error=lambda: failures.append(1))
    with monkeypatch.context() as full:
        full.setattr("sluice.loops.audit.FileIO", FullDisk)
        audit.write([{"number": 1}])
        audit.write([])
    assert failures == [1]
    audit.write([{"number": 2}])
    half, *whole = path.read_text().splitlines()
    assert half == '{"num'
    assert [json.loads(line) for line in whole] == [{"number": 2}]


def test_a_path_that_cannot_be_opened_stops_nothing(tmp_path: Path) -> None:
    failures: list[int] = []
    audit = AuditLog(str(tmp_path / "no" / "such" / "dir"), on_error=lambda: failures.append(1))
    audit.write([{"n": 1}])
    audit.write([{"n": 2}])
    assert failures == [1, 1]


def test_a_dash_is_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    AuditLog("-").write([{"n": 1}])
    assert json.loads(capsys.readouterr().out) == {"n": 1}


def test_a_rollback_is_a_line_with_who_what_why_and_the_numbers() -> None:
    cluster = SmallCluster(changed_by="argocd", change_cause="release 7").rolling_out()
    cluster.say(Verdict.HARM)
    inputs = cluster.inputs()
    [record] = records_of(inputs, cluster.step())
    assert record["reason"] == "RollingBack"
    assert (record["from"], record["to"]) == ("Stepping", "RollingBack")
    assert (record["revision"], record["stable"], record["weight"]) == ("bbbb", "aaaa", 0)
    assert (record["actor"], record["changeCause"]) == ("argocd", "release 7")
    assert record["checks"][0]["verdict"] == "Harm"
    assert record["checks"][0]["candidateSamples"] == 100
    assert record["policy"] == "test"
    json.dumps(record)


def test_every_change_of_phase_has_a_line_and_a_look_has_none() -> None:
    cluster = SmallCluster().rolling_out()
    cluster.say(Verdict.PASS)
    seen: list[str] = []
    for _ in range(90):
        cluster.now += 1
        cluster.settle()
        inputs = cluster.inputs()
        decision = cluster.step()
        records = records_of(inputs, decision)
        assert bool(records) == bool(decision.notes or decision.transitions)
        seen += [phase for record in records[:1] for phase in record["phases"]]
    assert seen == [Phase.PROMOTING, Phase.BAKING, Phase.IDLE]


def test_what_cannot_be_worked_on_has_a_line_too() -> None:
    obj = {"metadata": {"name": "iris", "namespace": "prod"}, "specManager": "kubectl"}
    record = stall_record(obj, "PolicyNotFound", "there is none", 0.0)
    assert (record["reason"], record["actor"]) == ("PolicyNotFound", "kubectl")
