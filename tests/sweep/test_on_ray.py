"""A sweep on a real Ray cluster of two nodes, one of which is killed; in a process of its own: Ray owns its driver."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pandas as pd
import pytest
import toy_experiment

from jaxsoil import cli

ROOT = Path(__file__).resolve().parents[2]

CLUSTER = textwrap.dedent(
    """
    import json, subprocess, sys, time
    from pathlib import Path
    from ray.cluster_utils import Cluster

    experiments, target = Path(sys.argv[1]), Path(sys.argv[2])
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    second = cluster.add_node(num_cpus=1)
    code = "import sys, pathlib, jaxsoil.cli as cli; sys.exit(cli.main(pathlib.Path(sys.argv[1]), sys.argv[2:]))"
    words = ["--exp", "toy", "--sweep", "lr", "--workdir", str(target)]
    ray = ["--launcher", "ray", "--ray-address", cluster.address, "--ray-wait", "30"]
    process = subprocess.Popen([sys.executable, "-c", code, str(experiments), *words, *ray])
    until = time.monotonic() + 60.0
    while len(list(target.glob("points/*/begun.txt"))) < 2 and time.monotonic() < until:
        time.sleep(0.05)
    begun = len(list(target.glob("points/*/begun.txt")))
    cluster.remove_node(second, allow_graceful=False)
    status = process.wait(timeout=150.0)
    print("outcome " + json.dumps({"begun": begun, "status": status}))
    cluster.shutdown()
    """
)


@pytest.mark.slow
def test_a_node_that_is_killed_loses_nothing(tmp_path: Path) -> None:
    if importlib.util.find_spec("ray") is None:
        pytest.skip("Ray is optional: pip install 'jaxsoil[ray]'")
    experiments, target = toy_experiment.write(tmp_path), tmp_path / "s"
    path = os.pathsep.join([str(ROOT), str(tmp_path), os.environ.get("PYTHONPATH", "")])
    environment = os.environ | {"PYTHONPATH": path, "TOY_SECONDS": "2", "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0"}
    command = [sys.executable, "-c", CLUSTER, str(experiments), str(target)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=240.0)
    said = [line for line in done.stdout.splitlines() if line.startswith("outcome ")]
    assert said, done.stdout + done.stderr
    outcome = json.loads(said[0].removeprefix("outcome "))
    assert outcome["begun"] >= 2, "the node was killed before both had begun a point"
    assert outcome["status"] == 0, done.stdout + done.stderr
    table = pd.read_csv(target / "sweep.csv")
    assert len(set(table["point"])) == 3 and len(table) == 6
    begun = [len(path.read_text().split()) for path in target.glob("points/*/begun.txt")]
    assert len(begun) == 3 and sum(begun) <= 4, "a finished point was run again"


@pytest.mark.slow
def test_points_with_a_worse_loss_are_stopped_and_go_on_when_asked(tmp_path: Path) -> None:
    """One point at a time: the first has the lowest loss, so both others are stopped where they are first compared."""
    if importlib.util.find_spec("ray") is None:
        pytest.skip("Ray is optional: pip install 'jaxsoil[ray]'")
    experiments, target = toy_experiment.write(tmp_path), tmp_path / "s"
    path = os.pathsep.join([str(ROOT), str(tmp_path), os.environ.get("PYTHONPATH", "")])
    environment = os.environ | {"PYTHONPATH": path, "TOY_EPOCHS": "25", "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0"}
    code = "import sys, pathlib, jaxsoil.cli as cli; sys.exit(cli.main(pathlib.Path(sys.argv[1]), sys.argv[2:]))"
    words = [sys.executable, "-c", code, str(experiments), "--exp", "toy", "--sweep", "lr", "--workdir", str(target)]
    early = ["--launcher", "ray", "--asha", "--ray-cpus", str(os.cpu_count())]

    def run(*options: str) -> str:
        done = subprocess.run([*words, *options], capture_output=True, text=True, env=environment, timeout=500.0)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    assert "1 finished, 2 stopped early" in run(*early)
    points = pd.read_csv(target / "points.csv").set_index("config.train.lr")
    assert points["status"].to_dict() == {0.1: "finished", 0.2: "stopped early", 0.4: "stopped early"}
    assert "validation loss of 0.4" in points.at[0.4, "error"]
    assert len(pd.read_csv(target / "sweep.csv")) == 2 and not list(target.glob("points/.*"))
    # A point that is added is compared with what the others had when the sweep was run before.
    text = (experiments / "toy.py").read_text().replace("(0.1, 0.2, 0.4)", "(0.1, 0.2, 0.3, 0.4)")
    (experiments / "toy.py").write_text(text)
    said = run(*early, "--resume")
    assert "3 of 4 points are finished or stopped early" in said and "1 stopped early" in said
    environment["TOY_EPOCHS"] = "1"
    assert "3 finished" in run("--resume")
    assert set(pd.read_csv(target / "points.csv")["status"]) == {"finished"}


def test_without_ray_the_launcher_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "ray" else find(name, *rest))
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "toy_study", raising=False)
    words = ["--exp", "toy", "--sweep", "lr", "--launcher", "ray", "--workdir", str(tmp_path / "s")]
    assert cli.main(toy_experiment.write(tmp_path), words) == 2
    assert "pip install 'jaxsoil[ray]'" in capsys.readouterr().err
    assert not (tmp_path / "s").exists()
