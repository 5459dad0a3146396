"""A study of a mixture of experts, from sampling to the report: a Mixtral that computes what the bundled model does."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.naive_mixture import mixtral_twin
from tests.study.conftest import SMALL

import hneurons
from hneurons.files import read_json, write_json
from hneurons.probes.probe import Probe
from hneurons.report.html import write_report
from hneurons.report.reading import detection
from hneurons.study.config import make_config
from hneurons.study.results import read_results
from hneurons.study.run import Run
from hneurons.study.stages import run_stages


@pytest.mark.slow
def test_every_stage_runs(tmp_path: Path) -> None:
    atlas = hneurons.load("atlas-7m-instruct", device="cpu", dtype="float32")
    twin = mixtral_twin(atlas.hf, 2)
    twin.save_pretrained(tmp_path / "twin")
    atlas.tokenizer.save_pretrained(tmp_path / "twin")
    model = hneurons.load(tmp_path / "twin", device="cpu")
    write_json(tmp_path / "study.json", {**SMALL, "model": {"name": str(tmp_path / "twin"), "device": "cpu"}})
    run = Run.start(tmp_path / "run", make_config(tmp_path / "study.json"))
    run_stages(run)
    results = read_results(run)
    assert results.model.same_model(model.fingerprint)
    assert results.probe.n_neurons == model.neurons == 6 * 2 * 1024
    probe = Probe.load(run.probe)
    assert probe.hneurons
    assert probe.per_mille == pytest.approx(1000 * len(probe.hneurons) / model.neurons)
    listed = read_json(run.probe / "probe.json")["neurons"]
    assert {each["expert"] for each in listed} <= {0, 1}
    assert all(each["index"] // 1024 == each["expert"] for each in listed)
    auroc = detection(results, "in-domain").auroc.value
    assert auroc is not None
    assert auroc > 0.6
    assert '<th scope="col">expert</th>' in write_report(run).read_text(encoding="utf-8")
