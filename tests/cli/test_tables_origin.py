from __future__ import annotations

import io

import pytest
from rich.cells import cell_len
from rich.console import Console
from tests.report.synthetic import make_results
from tests.report.synthetic_origin import make_growth, make_origin

from hneurons.cli.tables import WIDTH
from hneurons.cli.tables_origin import print_origin
from hneurons.origins.record import Growth, Origin
from hneurons.report.origin.sentences import origin_sentences
from hneurons.study.results import Results


@pytest.fixture(scope="module")
def results() -> Results:
    return make_results()


def printed(results: Results, origin: Origin | None, growth: Growth | None = None, width: int = WIDTH) -> str:
    out = io.StringIO()
    print_origin(results.model_copy(update={"origin": origin, "growth": growth}), Console(file=out, width=width))
    return out.getvalue()


def line(text: str, below: str, begins: str) -> str:
    """The first line that begins so, blanks aside, below a heading."""
    rest = text[text.index(below) :].splitlines()[1:]
    return " ".join(next(each for each in rest if each.strip().startswith(begins)).split())


def check(text: str, results: Results, origin: Origin) -> None:
    assert origin.backward is not None
    assert origin.forward is not None
    assert origin.drift is not None
    for name in ("in-domain", "long-tail", "cross-domain"):
        rows = results.evaluation.detection
        home = next(row.auroc for row in rows if (row.eval_set, row.detector) == (name, "H-Neurons"))
        found = [
            next(each.auroc for each in transfer.figures if (each.eval_set, each.detector) == (name, "H-Neurons"))
            for transfer in (origin.backward, origin.forward)
        ]
        interval = f"[{found[0].low:.3f}, {found[0].high:.3f}]"
        expected = f"H-Neurons {found[0].value:.3f} {interval} {home.value:.3f} {found[1].value:.3f}"
        assert line(text, f"AUROC on {name}", "H-Neurons  ") == expected
        for control in (each for each in origin.backward.controls if each.eval_set == name):
            finding = next(e for e in origin.backward.findings if (e.eval_set, e.control) == (name, control.control))
            told = line(text, f"AUROC on {name}", f"{control.control}  ")
            assert told.startswith(f"{control.control} {control.auroc.low:.3f} to {control.auroc.high:.3f} ")
            assert told.endswith("NOT above") != bool(finding.above)
    for test in origin.drift.tests:
        told = line(text, "Drift of", f"{test.score}  ")
        mean = test.mean_rank
        assert told.startswith(f"{test.score} {mean.value:.3f} [{mean.low:.3f}, {mean.high:.3f}] {test.t_p:.3f} ")
        assert f"{test.matched.low:.3f} to {test.matched.high:.3f} {test.matched_p:.3f}" in told


def test_every_number_is_the_one_of_the_record(results: Results) -> None:
    origin = make_origin()
    text = printed(results, origin)
    check(text, results, origin)
    flat = " ".join(text.split())
    for sentence in origin_sentences(results.model_copy(update={"origin": origin})):
        assert sentence in flat
    assert 'template "{question}\\nAnswer:"; stop "\\n"' in flat
    assert "Backward transfer: AUROC is not defined; all 90 answers are hallucinated." in flat
    swapped = origin.model_copy(update={"backward": origin.forward, "forward": origin.backward})
    for other in (make_origin(seed=2), swapped):
        with pytest.raises(AssertionError):
            check(text, results, other)


def test_growth_is_printed_step_by_step(results: Results) -> None:
    growth = make_growth()
    text = printed(results, None, growth)
    assert "Sentence one of growth." in text
    for each in growth.checkpoints:
        assert each.drift is not None
        told = line(text, "Answered right", f"{each.step:,} ")
        assert [f"{100 * (part.accuracy.value or 0):.1f}%" for part in each.strata] == told.split()[1:4]
        assert told.split()[4] == (f"{each.drift.hneurons.value:#.3g}" if each.drift.hneurons.value else "0")
        refit = next(f.auroc for f in each.figures if (f.eval_set, f.detector) == ("long-tail", "H-Neurons, refit"))
        value = "–" if refit.value is None else f"{refit.value:.3f} [{refit.low:.3f}, {refit.high:.3f}]"
        assert line(text, "AUROC on long-tail", f"{each.step:,} ").startswith(f"{each.step:,} 80 {value} ")


LONG = "[bold]" + "very-long-name-of-a-set" * 6


def renamed(origin: Origin) -> Origin:
    """Its sets have long names with markup in them."""
    assert origin.backward is not None
    names = {each.eval_set: f"{LONG}{k}" for k, each in enumerate(origin.asked)}
    parts = {
        part: tuple(e.model_copy(update={"eval_set": names[e.eval_set]}) for e in getattr(origin.backward, part))
        for part in ("figures", "controls", "findings")
    }
    asked = tuple(each.model_copy(update={"eval_set": names[each.eval_set]}) for each in origin.asked)
    return origin.model_copy(update={"backward": origin.backward.model_copy(update=parts), "asked": asked})


@pytest.mark.parametrize("width", [WIDTH, 160])
def test_no_line_is_too_long_and_nothing_is_markup(results: Results, width: int) -> None:
    growth = make_growth(by=LONG)
    strata = tuple(
        each.model_copy(update={"strata": tuple(p.model_copy(update={"value": LONG + p.value}) for p in each.strata)})
        for each in growth.checkpoints
    )
    for origin in (make_origin(), renamed(make_origin(base=LONG, forward=False)), make_origin(drift=False)):
        text = printed(results, origin, growth.model_copy(update={"checkpoints": strata, "sentences": (LONG,)}), width)
        assert max(cell_len(each.rstrip()) for each in text.splitlines()) <= width
    assert "[bold]" in text
    assert "Drift is missing: the base model's weights are quantized." in " ".join(text.split())


def test_a_run_that_was_not_traced_says_how_to(results: Results) -> None:
    text = printed(results, None)
    assert "has not been traced; run: hneurons origin RUN --base MODEL" in " ".join(text.split())
    assert "AUROC" not in text
