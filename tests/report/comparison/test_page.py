"""The page of a comparison: its numbers are the runs', what is text stays text, and nothing is fetched."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.report.sweep.test_page import Tables, plain_figures, points
from tests.report.synthetic_compare import NEURONS, compared, make_three
from tests.report.synthetic_origin import make_origin
from tests.report.test_html import Page

from hneurons.probes.bootstrap import Estimate
from hneurons.report.comparison.html import render_comparison, write_comparison
from hneurons.report.html import POLICY
from hneurons.study.results import Results

__all__ = ["plain_figures"]

BAD = "<script>alert(1)</script><img src=x onerror=alert(1)> \"'&amp; $x$"


def plain(found: Estimate) -> str:
    return f"{found.value:.3f} [{found.low:.3f}, {found.high:.3f}]"


def check_tables(page: Tables, runs: list[Results]) -> None:
    rows = page.table("The runs.")[1:]
    for number, (row, name, results) in enumerate(zip(rows, NEURONS, runs, strict=True), start=1):
        n, total = len(results.probe.neurons), results.probe.n_neurons
        assert row[:1] == [f"{number} {name}"]
        assert row[2:6] == [str(results.model.n_layers), f"{total:,}", str(n), f"{1000 * n / total:.2f}"]
    assert [row[1] for row in rows] == ["1.1M", "3.5M", "7.1M"]
    for eval_set in ("in-domain", "long-tail", "cross-domain"):
        for row, results in zip(page.table(f"{eval_set}: AUROC")[1:], runs, strict=True):
            found = {each.detector: each for each in results.evaluation.detection if each.eval_set == eval_set}
            bands = {each.control: each.auroc for each in results.evaluation.controls if each.eval_set == eval_set}
            verdicts = {each.control: each.better for each in results.comparisons if each.eval_set == eval_set}
            controls = [
                f"{bands[kind].low:.3f} to {bands[kind].high:.3f} {'above' if verdicts[kind] else 'NOT above'}"
                for kind in ("random neurons", "random neurons, layer-matched")
            ]
            cheap = max(
                (found["token entropy"], found["token log-probability"]), key=lambda each: each.auroc.value or 0.0
            )
            assert row[1:] == [
                str(found["H-Neurons"].n),
                plain(found["H-Neurons"].auroc),
                plain(found["H-Neurons, refit"].auroc),
                *controls,
                f"{plain(cheap.auroc)} {cheap.detector}",
            ]
    averages = page.table("Average over the benchmarks")[1:]
    for row, results in zip(averages, runs, strict=True):
        assert results.sweep is not None
        assert row[1] == points(results.sweep.average_slope["H-Neurons"])
    for benchmark in runs[0].sweep.benchmarks if runs[0].sweep else ():
        for row, results in zip(page.table(f"{benchmark.title}, in points")[1:], runs, strict=True):
            curves = (
                [each for each in results.sweep.curves if each.benchmark == benchmark.name] if results.sweep else []
            )
            (ours,) = [each.slope for each in curves if each.kind == "hneurons"]
            random = [100 * (each.slope.value or 0.0) for each in curves if each.kind == "random"]
            assert row[1] == points(ours)
            assert row[2] == f"{min(random):+.1f} to {max(random):+.1f}".replace("-", "−")


def test_every_number_is_the_one_of_the_runs(plain_figures: None) -> None:
    runs = make_three()
    page = Tables(render_comparison(compared(runs)))
    check_tables(page, runs)
    assert len(page.ids) == len(set(page.ids))
    assert {link.removeprefix("#") for link in page.links} <= set(page.ids)
    assert "Origin" not in page.words
    assert "No setting differs" in page.words


def test_the_check_sees_the_numbers_of_another_run(plain_figures: None) -> None:
    runs = make_three()
    page = Tables(render_comparison(compared(runs)))
    swapped = [runs[0].model_copy(update={"evaluation": runs[1].evaluation}), *runs[1:]]
    with pytest.raises(AssertionError):
        check_tables(page, swapped)


def test_what_is_not_alike_is_shown(plain_figures: None) -> None:
    runs = make_three()
    sets = {**runs[1].sets, "long-tail": {**runs[1].sets["long-tail"], "digest": "other"}}
    config = {**runs[2].config, "sampling": {**runs[2].config["sampling"], "temperature": 0.25}}
    runs[1] = runs[1].model_copy(update={"sets": sets})
    runs[2] = runs[2].model_copy(update={"config": config})
    page = Tables(render_comparison(compared(runs)))
    assert [row[1] for row in page.table("long-tail: AUROC")[1:]] == ["a", "b", "a"]
    assert page.table("long-tail: AUROC")[0][1] == "asked"
    assert "asked" not in page.table("in-domain: AUROC")[0]
    assert page.table("Settings in which")[1:] == [["sampling.temperature", "1.0", "1.0", "0.25"]]
    asked = page.table("Who was asked the same")[1:]
    assert ["long-tail", "one, three"] in asked
    assert asked[asked.index(["long-tail", "one, three"]) + 1] == ["two"]
    assert "does not hold the same questions everywhere: one and three on the one hand, two on the other" in page.words


def test_runs_that_were_not_swept_or_traced_are_left_out(plain_figures: None) -> None:
    runs = make_three()
    origin = make_origin()
    runs[0] = runs[0].model_copy(update={"origin": origin, "sweep": None})
    page = Tables(render_comparison(compared(runs)))
    assert [row[0] for row in page.table("Average over")[1:]] == ["2 two", "3 three"]
    (row,) = page.table("Backward transfer")[1:]
    assert row[:2] == ["1 one", origin.base.name]
    assert origin.backward is not None
    assert origin.drift is not None
    refit = {each.eval_set: each.auroc for each in origin.backward.figures if each.detector == "H-Neurons, refit"}
    random = {each.eval_set: each.auroc for each in origin.backward.controls if each.control == "random neurons"}
    for cell, (name, auroc) in zip(row[2:6], refit.items(), strict=True):
        if auroc.value is None:
            assert cell == "–", name
        else:
            assert cell == f"{plain(auroc)}; random {random[name].low:.3f} to {random[name].high:.3f}", name
    (test,) = [each for each in origin.drift.tests if each.score == "up+down"]
    assert row[6:8] == [plain(test.mean_rank), f"{test.matched.low:.3f} to {test.matched.high:.3f}"]
    assert "of unknown size" not in page.words
    runs[1] = runs[1].model_copy(update={"parameters": None})
    assert "Beyond the dotted line (?): runs of unknown size." in Tables(render_comparison(compared(runs))).words
    none = Tables(render_comparison(compared(make_three(sweep=None))))
    assert "What turning does" not in none.words


def test_text_of_models_and_runs_is_text(plain_figures: None) -> None:
    """In the figures, too: tests/report/comparison/test_figures.py."""
    runs = make_three()
    model = runs[0].model.model_copy(update={"name": BAD, "revision": BAD})
    sweep = runs[0].sweep
    assert sweep is not None
    benchmarks = tuple(each.model_copy(update={"title": f"{BAD}{k}"}) for k, each in enumerate(sweep.benchmarks))
    config = {**runs[0].config, "prompt": {"system": BAD}}
    runs = [each.model_copy(update={"sweep": sweep.model_copy(update={"benchmarks": benchmarks})}) for each in runs]
    runs[0] = runs[0].model_copy(update={"model": model, "config": config})
    text = render_comparison(compared(runs, [BAD, "b", "c"]))
    page = Page(text)
    assert page.open == []
    assert page.fetched() == []
    assert {"script", "img"}.isdisjoint(tag for tag, _ in page.tags)
    assert not [key for _, attributes in page.tags for key in attributes if key.startswith("on")]
    assert "<script" not in text
    assert "".join(page.words).count(BAD) >= 8
    policy = [attributes["content"] for tag, attributes in page.tags if attributes.get("http-equiv")]
    assert policy == [POLICY]
    for _, attributes in page.tags:
        if (attributes.get("class") or "").startswith("scroll"):
            assert attributes["tabindex"] == "0"
            assert attributes["aria-label"]
    assert sum(tag == "svg" for tag, _ in page.tags) == 4


def test_a_comparison_gets_its_page(tmp_path: Path, plain_figures: None) -> None:
    path = write_comparison(compared(make_three()), tmp_path / "out")
    assert path == tmp_path / "out" / "compare.html"
    assert path.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert [each.name for each in path.parent.iterdir()] == ["compare.html"]
