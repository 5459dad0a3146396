"""Runs side by side: every figure is what the runs' results say, counted again here."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.report.synthetic_compare import LAYERS, NEURONS, PARAMETERS, WIDTH, compared, make_run, make_three
from tests.report.synthetic_origin import make_origin

from hneurons.errors import CorruptRunError, RunError
from hneurons.files import write_json
from hneurons.study.comparing import (
    compare_runs,
    layer_shares,
    make_labels,
    mean_depth,
    unique,
    write_side_by_side,
)
from hneurons.study.results import Results
from hneurons.study.side_by_side import SideBySide


def naive_depth(neurons: tuple[tuple[int, int], ...], layers: int) -> float:
    total = 0.0
    for layer, _ in neurons:
        total += (layer + 0.5) / layers
    return total / len(neurons)


def naive_wilson(n: int, of: int, z: float = 1.959963984540054) -> tuple[float, float]:
    """The two roots of (share - p)^2 = z^2 p (1 - p) / of."""
    share = n / of
    a, b, c = 1 + z * z / of, -(2 * share + z * z / of), share * share
    root = math.sqrt(max(0.0, b * b - 4 * a * c))
    return (-b - root) / (2 * a), (-b + root) / (2 * a)


def check(found: SideBySide, runs: list[Results]) -> None:
    """Every figure of the comparison against the JSON of the runs."""
    for run, results in zip(found.runs, runs, strict=True):
        told: dict[str, Any] = results.model_dump(mode="json")
        name = run.label
        assert run.parameters == told["parameters"]
        assert run.n_hneurons == len(told["probe"]["neurons"])
        assert run.per_mille == pytest.approx(1000 * len(told["probe"]["neurons"]) / (run.model.n_layers * WIDTH))
        assert run.mean_depth.value == pytest.approx(naive_depth(NEURONS[name], LAYERS[name]))
        chosen = told["fit"]["stability"][told["fit"]["chosen"]]
        assert (run.jaccard, run.resamples) == (chosen["jaccard"], chosen["resamples"])
        for layer in range(LAYERS[name]):
            n = sum(each == layer for each, _ in NEURONS[name])
            share = run.layers[layer]
            assert (share.layer, share.n) == (layer, n)
            assert share.share == pytest.approx(n / len(NEURONS[name]))
            assert share.density == pytest.approx(n / (len(NEURONS[name]) / LAYERS[name]))
            assert share.depth == pytest.approx((2 * layer + 1) / (2 * LAYERS[name]))
            assert (share.low, share.high) == pytest.approx(naive_wilson(n, len(NEURONS[name])), abs=1e-9)
        assert set(run.sets) == {"in-domain", "long-tail", "cross-domain", "invented"}
        for eval_set, each in run.sets.items():
            rows = {row["detector"]: row for row in told["evaluation"]["detection"] if row["eval_set"] == eval_set}
            bands = {row["control"]: row for row in told["evaluation"]["controls"] if row["eval_set"] == eval_set}
            dumped = each.model_dump(mode="json")
            assert dumped["probe"] == rows["H-Neurons"]["auroc"]
            assert dumped["refit"] == rows["H-Neurons, refit"]["auroc"]
            assert dumped["random"] == bands["random neurons"]["auroc"]
            assert dumped["layer_matched"] == bands["random neurons, layer-matched"]["auroc"]
            verdicts = {c["control"]: c["better"] for c in told["comparisons"] if c["eval_set"] == eval_set}
            assert each.beats_random is verdicts["random neurons"]
            assert each.beats_layer_matched is verdicts["random neurons, layer-matched"]
            cheap = [rows["token entropy"]["auroc"]["value"], rows["token log-probability"]["auroc"]["value"]]
            if cheap[0] is None:
                assert (each.best, each.best_auroc) == (None, None)
            else:
                assert each.best_auroc is not None
                assert each.best_auroc.value == max(cheap)
                assert each.best == ("token entropy" if cheap[0] >= cheap[1] else "token log-probability")
        sweep = told["sweep"]
        assert run.turning is not None
        assert run.turning.model_dump(mode="json")["average"] == sweep["average_slope"]["H-Neurons"]
        for kind, averages in (
            ("random", run.turning.average_random),
            ("layer-matched", run.turning.average_layer_matched),
        ):
            names = {curve["neurons"] for curve in sweep["curves"] if curve["kind"] == kind}
            assert sorted(averages) == sorted(sweep["average_slope"][each]["value"] for each in names)
        for benchmark, slope in run.turning.benchmarks.items():
            curves = [curve for curve in sweep["curves"] if curve["benchmark"] == benchmark]
            (ours,) = [curve for curve in curves if curve["kind"] == "hneurons"]
            assert slope.model_dump(mode="json")["slope"] == ours["slope"]
            random = [curve["slope"]["value"] for curve in curves if curve["kind"] == "random"]
            matched = [curve["slope"]["value"] for curve in curves if curve["kind"] == "layer-matched"]
            assert (list(slope.random), list(slope.layer_matched)) == (random, matched)
            findings = [f for f in sweep["findings"] if (f["benchmark"], f["kind"]) == (benchmark, "hneurons")]
            assert slope.beyond is findings[0]["beyond"]


def test_every_figure_is_the_one_of_the_runs() -> None:
    runs = make_three()
    check(compared(runs), runs)


@pytest.mark.parametrize("wrong", ["order", "probe", "control", "slope", "depth"])
def test_the_check_sees_a_wrong_figure(wrong: str) -> None:
    runs = make_three()
    found = compared(runs)
    if wrong == "order":
        other = found.runs[0].model_copy(update={"sets": found.runs[1].sets})
    elif wrong == "depth":
        other = found.runs[0].model_copy(update={"mean_depth": found.runs[1].mean_depth})
    elif wrong == "slope":
        turning = found.runs[0].turning
        assert turning is not None
        swapped = turning.model_copy(update={"average_random": turning.average_layer_matched})
        other = found.runs[0].model_copy(update={"turning": swapped})
    else:
        each = found.runs[0].sets["in-domain"]
        swapped_set = (
            each.model_copy(update={"probe": each.refit})
            if wrong == "probe"
            else each.model_copy(update={"random": each.layer_matched})
        )
        other = found.runs[0].model_copy(update={"sets": {**found.runs[0].sets, "in-domain": swapped_set}})
    with pytest.raises(AssertionError):
        check(found.model_copy(update={"runs": (other, *found.runs[1:])}), runs)


def test_the_interval_of_the_mean_depth_is_that_of_resampled_neurons() -> None:
    """Against a resampling of this test's own, and the normal approximation."""
    random = np.random.default_rng(3)
    neurons = tuple((int(layer), i) for i, layer in enumerate(random.integers(0, 12, size=60)))
    found = mean_depth(neurons, 12)
    depths = [(layer + 0.5) / 12 for layer, _ in neurons]
    means = sorted(sum(random.choice(depths) for _ in depths) / len(depths) for _ in range(1500))
    assert found.value == pytest.approx(naive_depth(neurons, 12))
    assert found.low is not None
    assert found.high is not None
    assert found.low == pytest.approx(means[37], abs=0.012)
    assert found.high == pytest.approx(means[-38], abs=0.012)
    spread = 1.96 * float(np.std(depths)) / math.sqrt(len(depths))
    assert (found.high - found.low) / 2 == pytest.approx(spread, rel=0.1)


def test_one_neuron_has_no_interval_and_none_no_depth() -> None:
    assert mean_depth(((2, 7),), 4).value == pytest.approx(0.625)
    assert mean_depth(((2, 7),), 4).low is None
    assert mean_depth((), 4).value is None
    assert mean_depth((), 4).reason
    assert layer_shares((), 4) == ()
    assert [each.n for each in layer_shares(((3, 0), (3, 1)), 4)] == [0, 0, 0, 2]


def test_questions_are_the_same_by_digest_not_by_name() -> None:
    runs = make_three()
    same = compared(runs)
    assert same.training.same
    assert all(each.same for each in (*same.sets, *same.benchmarks))
    sets = {**runs[1].sets, "long-tail": {**runs[1].sets["long-tail"], "digest": "other"}}
    other = compared([runs[0], runs[1].model_copy(update={"sets": sets}), runs[2]])
    assert {each.name: each.groups for each in other.sets if not each.same} == {
        "long-tail": (("one", "three"), ("two",))
    }


def test_right_answers_of_another_set_are_part_of_what_is_asked() -> None:
    """Invented things beside other right answers are another task, though the questions are the same."""
    runs = make_three()
    config = {**runs[0].config, "evaluate": {k: dict(v) for k, v in runs[0].config["evaluate"].items()}}
    config["evaluate"]["invented"]["faithful_from"] = "in-domain"
    runs = [each.model_copy(update={"config": config}) for each in runs]
    assert all(each.same for each in compared(runs).sets)
    sets = {**runs[2].sets, "in-domain": {**runs[2].sets["in-domain"], "digest": "other"}}
    other = compared([*runs[:2], runs[2].model_copy(update={"sets": sets})])
    assert [each.name for each in other.sets if not each.same] == ["in-domain", "invented"]


@pytest.mark.parametrize("change", ["digest", "alphas", "judge", "fewer"])
def test_averages_are_alike_only_over_the_same(change: str) -> None:
    runs = make_three()
    assert compared(runs).averages_alike is True
    sweep = runs[1].sweep
    assert sweep is not None
    first, *rest = sweep.benchmarks
    updates: dict[str, dict[str, object]] = {
        "digest": {"benchmarks": (first.model_copy(update={"digest": "other"}), *rest)},
        "alphas": {"alphas": (0.0, 1.0, 2.0)},
        "judge": {"judge": "some model"},
        "fewer": {"benchmarks": tuple(rest)},
    }
    runs[1] = runs[1].model_copy(update={"sweep": sweep.model_copy(update=updates[change])})
    found = compared(runs)
    assert found.averages_alike is False
    named = [each.groups for each in found.benchmarks if not each.same]
    assert named == ([(("one", "three"), ("two",))] if change == "digest" else [])


def test_settings_that_differ_are_named_with_their_values() -> None:
    runs = make_three()
    assert compared(runs).settings == ()
    config = {
        **runs[1].config,
        "recording": {**runs[1].config["recording"], "positions": "before"},
        "probe": {**runs[1].config["probe"], "scheme": "1-vs-1", "scale": "std"},
        "sampling": {**runs[1].config["sampling"], "temperature": 0.5},
        "model": {**runs[1].config["model"], "name": "another", "dtype": "float32", "device": "cuda"},
        "batch_size": 7,
    }
    runs[1] = runs[1].model_copy(update={"config": config, "version": "9.9"})
    found = {each.setting: each.values for each in compared(runs).settings}
    assert found == {
        "version": {"one": "0.1.0", "two": "9.9", "three": "0.1.0"},
        "model.dtype": {"one": "auto", "two": "float32", "three": "auto"},
        "probe.scale": {"one": "none", "two": "std", "three": "none"},
        "probe.scheme": {"one": "3-vs-1", "two": "1-vs-1", "three": "3-vs-1"},
        "recording.positions": {"one": "at", "two": "before", "three": "at"},
        "sampling.temperature": {"one": 1.0, "two": 0.5, "three": 1.0},
    }


def test_the_model_that_judges_is_a_setting_and_its_address_is_none() -> None:
    runs = make_three()
    for place, (url, model) in enumerate(
        (("http://a/v1", "judge-1"), ("http://b/v1", "judge-1"), ("http://a/v1", "judge-2"))
    ):
        endpoints = {"judge": {"url": url, "model": model}, "spans": None, "sample": None}
        runs[place] = runs[place].model_copy(update={"config": {**runs[place].config, "endpoints": endpoints}})
    (only,) = compared(runs).settings
    assert only.setting == "endpoints.judge.model"
    assert list(only.values.values()) == ["judge-1", "judge-1", "judge-2"]


def test_settings_of_a_sweep_are_compared_among_swept_runs() -> None:
    runs = make_three()
    sweep = runs[1].sweep
    assert sweep is not None
    runs[0] = runs[0].model_copy(update={"sweep": None})
    runs[1] = runs[1].model_copy(update={"sweep": sweep.model_copy(update={"settings": {**sweep.settings, "seed": 4}})})
    (only,) = compared(runs).settings
    assert (only.setting, only.values) == ("sweep.seed", {"two": 4, "three": None})


def test_origin_is_taken_from_the_run() -> None:
    runs = make_three()
    origin = make_origin()
    runs[0] = runs[0].model_copy(update={"origin": origin})
    found = compared(runs)
    assert [run.origin is not None for run in found.runs] == [True, False, False]
    traced, told = found.runs[0].origin, origin.model_dump(mode="json")
    assert traced is not None
    dumped = traced.model_dump(mode="json")
    figures = [each for each in told["backward"]["figures"] if each["detector"] == "H-Neurons, refit"]
    bands = [each for each in told["backward"]["controls"] if each["control"] == "random neurons"]
    assert dumped["base"] == "atlas-7m-base"
    assert dumped["backward"] == {each["eval_set"]: each["auroc"] for each in figures}
    assert dumped["backward_random"] == {each["eval_set"]: each["auroc"] for each in bands}
    assert len(figures) == len(bands) == 4
    assert dumped["drift"] == next(each for each in told["drift"]["tests"] if each["score"] == "up+down")
    bare = origin.model_copy(update={"backward": None, "drift": None})
    without = compared([runs[0].model_copy(update={"origin": bare}), *runs[1:]]).runs[0].origin
    assert without is not None
    assert (without.backward, without.drift) == ({}, None)


def test_runs_are_named_by_their_models_and_told_apart_by_their_directories() -> None:
    places = [Path("/r/first"), Path("/r/second"), Path("/r/third")]
    assert make_labels(["org/a", "b/", "c"], places) == ["a", "b", "c"]
    assert make_labels(["org/a", "other/a", "c"], places) == ["a (first)", "a (second)", "c"]
    assert make_labels(["a", "a"], [Path("/x/run"), Path("/y/run")]) == ["a (run)", "a (run)-2"]
    assert unique(["a", "a", "a-2", "a"]) == ["a", "a-2", "a-2-2", "a-3"]


@pytest.fixture
def written(tmp_path: Path) -> list[Path]:
    """Three finished runs on disk."""
    paths = [tmp_path / name for name in PARAMETERS]
    for path, results in zip(paths, make_three(), strict=True):
        write_json(path / "results.json", results.model_dump(mode="json"))
    return paths


def test_a_comparison_is_read_written_and_read_again(written: list[Path], tmp_path: Path) -> None:
    found = compare_runs(written)
    assert [run.label for run in found.runs] == ["one", "two", "three"]
    file = write_side_by_side(found, tmp_path / "out")
    assert SideBySide.model_validate(json.loads(file.read_text())) == found
    named = compare_runs(written[:2], ["A", "B"])
    assert [run.label for run in named.runs] == ["A", "B"]
    assert [run.path for run in named.runs] == [str(path) for path in written[:2]]


def test_what_cannot_be_compared_is_refused_with_what_to_do(written: list[Path], tmp_path: Path) -> None:
    def refused(*paths: Path, names: tuple[str, ...] = ()) -> str:
        with pytest.raises(RunError) as raised:
            compare_runs(paths, names)
        return str(raised.value)

    assert "two runs or more, not 1" in refused(written[0])
    assert "two runs or more, not 0" in refused()
    assert "given twice" in refused(written[0], written[1], written[0].parent / "x" / ".." / "one")
    assert "there is no run in" in refused(written[0], tmp_path / "nowhere")
    (tmp_path / "begun").mkdir()
    assert f"finish it with: hneurons report {tmp_path / 'begun'}" in refused(written[0], tmp_path / "begun")
    assert "1 names for 2 runs" in refused(*written[:2], names=("A",))
    assert "a name of its own" in refused(*written[:2], names=("A", "A"))
    assert "a name of its own" in refused(*written[:2], names=("A", " "))
    (tmp_path / "taken").write_text("mine")
    with pytest.raises(RunError, match="is a file; give another directory with --out"):
        write_side_by_side(compare_runs(written), tmp_path / "taken")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{", "cannot be read"),
        ('{"format": "hneurons-results-0"}', "is of format 'hneurons-results-0', and this version reads"),
        ("[]", "is of format None"),
        ('{"format": "hneurons-results-1"}', "version: Field required"),
    ],
)
def test_damaged_results_are_refused_with_what_to_do(written: list[Path], text: str, expected: str) -> None:
    (written[1] / "results.json").write_text(text)
    with pytest.raises(CorruptRunError) as raised:
        compare_runs(written)
    assert expected in str(raised.value)
    assert f"write it anew with: hneurons report {written[1]}" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_older_runs_have_no_size() -> None:
    runs = [make_run("a", None, neurons=((0, 1),), layers=2), make_run("b", 5, neurons=((1, 1), (0, 2)), layers=2)]
    found = compared(runs)
    assert [run.parameters for run in found.runs] == [None, 5]
    assert [run.turning for run in found.runs] == [None, None]
    assert found.averages_alike is None
