"""A sample of the campaign that kills a running study (tools/kill_campaign.py), and how it tells what went wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tools import kill_campaign, same_runs

SAMPLE = ("kill -9", "SIGTERM", "full disk", "second writer", "truncated checkpoint")
SMALL = ("--networks", "ann", "--baselines", "plsr", "--span", "2")


@pytest.mark.slow
def test_a_run_that_is_ended_in_five_ways_goes_on_to_the_same_bytes(tmp_path: Path) -> None:
    words = ["--study", "region_out", "--kills", "5", "--out", str(tmp_path), "--kinds", *SAMPLE, *SMALL]
    assert kill_campaign.main(words) == 0, (tmp_path / "region_out.jsonl").read_text("utf-8")
    summary = json.loads((tmp_path / "region_out.json").read_text("utf-8"))
    assert {kind: row["right"] for kind, row in summary["kinds"].items()} == dict.fromkeys(SAMPLE, 1)
    assert summary["runs"] == summary["runs_with_the_same_bytes"] >= 1
    # What is done is not done again.
    before = (tmp_path / "region_out.jsonl").read_text("utf-8")
    assert kill_campaign.main(words) == 0
    assert (tmp_path / "region_out.jsonl").read_text("utf-8") == before


def test_two_runs_differ_in_what_one_lacks_and_in_bytes_but_not_in_times(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name / "trials").mkdir(parents=True)
        (tmp_path / name / "results.csv").write_text("value\n1\n")
        (tmp_path / name / "timing.json").write_text(name)
        (tmp_path / name / "trials" / "ann-0.npz").write_text(name)
        (tmp_path / name / "log.jsonl").write_text('{"a": 1}\n{"b": 2}\n' if name == "a" else '{"b": 2}\n{"a": 1}\n')
    assert same_runs.differing(tmp_path / "a", tmp_path / "b") == []
    (tmp_path / "b" / "results.csv").write_text("value\n2\n")
    (tmp_path / "a" / "data.json").write_text("{}")
    assert same_runs.differing(tmp_path / "a", tmp_path / "b") == ["data.json", "results.csv"]


def test_a_kill_counts_only_where_its_run_ended_with_the_same_bytes(tmp_path: Path) -> None:
    words = ["--exp", "region_out", "--smoke", *kill_campaign.STUDIES["region_out"]]
    lines = [
        {"words": words, "seed": 0},
        {"kind": "kill -9", "run": 0, "wrong": ""},
        {"kind": "SIGTERM", "run": 0, "wrong": "it took 12.0 s to end"},
        {"run": 0, "differing": []},
        {"kind": "kill -9", "run": 1, "wrong": ""},
        {"run": 1, "differing": ["results.csv"]},
        {"kind": "kill -9", "run": 2, "wrong": ""},
    ]
    (tmp_path / "region_out.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    campaign = kill_campaign.Campaign("region_out", (), tmp_path, tuple(kill_campaign.KINDS), 0, 4.0)
    # The last run has not come to its end.
    assert campaign.right() == [True, False, False, False]
    with pytest.raises(SystemExit, match="another command"):
        kill_campaign.Campaign("region_out", ("--seeds", "2"), tmp_path, ("SIGTERM",), 0, 4.0)
