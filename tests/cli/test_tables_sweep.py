from __future__ import annotations

import io
import re
from types import ModuleType

import pytest
from rich.cells import cell_len
from rich.console import Console
from tests.report import synthetic_sweep
from tests.report.synthetic import make_results

from hneurons.cli.tables import WIDTH
from hneurons.cli.tables_sweep import print_sweep
from hneurons.compliance.record import Sweep
from hneurons.study.results import Results


@pytest.fixture(scope="module")
def results() -> Results:
    return make_results()


@pytest.fixture(scope="module")
def sweeps() -> ModuleType:
    return synthetic_sweep


def printed(results: Results, sweep: Sweep | None) -> str:
    out = io.StringIO()
    print_sweep(results.model_copy(update={"sweep": sweep}), Console(file=out, width=WIDTH))
    return out.getvalue()


def lines(text: str, below: str, begins: str) -> str:
    """The first line that begins so, blanks aside, below a heading."""
    rest = text[text.index(below) :].splitlines()[1:]
    return " ".join(next(line for line in rest if line.strip().startswith(begins)).split())


def check(text: str, sweep: Sweep) -> None:
    rates = text[text.index("Compliance rates") :]
    for benchmark in sweep.benchmarks:
        ours = [each for each in sweep.curves if each.benchmark == benchmark.name]
        for curve, name in ((ours[0], "H-Neurons "), (ours[1], "H-Neurons, gated")):
            told = " ".join(f"{100 * (point.rate.value or 0):.1f}%" for point in curve.points)
            assert lines(rates, benchmark.title, name) == f"{name.strip()} {told}"
        spans = []
        for place, alpha in enumerate(sweep.alphas):
            values = [100 * (each.points[place].rate.value or 0) for each in ours[2:]]
            spans.append("intact" if alpha == 1 else f"{min(values):.1f}–{max(values):.1f}%")
        assert lines(rates, benchmark.title, "all controls") == f"all controls {' '.join(spans)}"
    slopes = text[text.index("Slopes, in points") :]
    for finding in sweep.findings:
        title = next(each.title for each in sweep.benchmarks if each.name == finding.benchmark)
        numbers = [100 * (value or 0) for value in (finding.slope.value, finding.slope.low, finding.slope.high)]
        slope = "{:+.1f} [{:.1f}, {:.1f}]".format(*numbers).replace("-", "−").replace("−0.0]", "0.0]")
        verdict = "beyond" if finding.beyond else "NOT beyond"
        name = "H-Neurons " if finding.kind == "hneurons" else "H-Neurons, gated"
        line = lines(slopes, title, name)
        assert line == f"{name.strip()} {slope} {finding.p_value:.3f} {verdict}"


def test_every_rate_and_slope_is_the_one_of_the_sweep(results: Results, sweeps: ModuleType) -> None:
    sweep = sweeps.make_sweep()
    text = printed(results, sweep)
    check(text, sweep)
    assert "They do on False premises (Atlas)" in " ".join(text.split())
    assert re.search(r"^3 +H-Neurons +89\.4% +−7\.1 \[−8\.3, −5\.9\] +1\.292× \[1\.262, 1\.322\]", text, re.MULTILINE)
    assert "cannot be read: the rate there is" in " ".join(text.split())
    other = sweeps.make_sweep(seed=1)
    with pytest.raises(AssertionError):
        check(text, other)


@pytest.mark.parametrize(
    "shape",
    [
        {},
        {"gated": False, "random_sets": 0, "matched_sets": 0},
        {"alphas": tuple(round(0.15 * k, 2) if k != 7 else 1.0 for k in range(20))},
        {"alphas": (0.0, 1.0), "titles": {f"b{k}": "[bold]" + "Very long " * 12 + str(k) for k in range(6)}},
    ],
)
def test_no_line_is_too_long_and_no_number_is_cut(
    results: Results, sweeps: ModuleType, shape: dict[str, object]
) -> None:
    sweep = sweeps.make_sweep(**shape)
    text = printed(results, sweep)
    assert max(cell_len(line.rstrip()) for line in text.splitlines()) <= WIDTH
    flat = " ".join(text.split())
    assert "[bold]" in flat or "titles" not in shape
    for curve in sweep.curves:
        if curve.kind == "hneurons":
            assert all(f"{100 * (point.rate.value or 0):.1f}%" in flat for point in curve.points)


def test_a_run_that_was_not_swept_says_how_to(results: Results) -> None:
    text = printed(results, None)
    assert "has not been swept; run: hneurons sweep RUN" in text
    assert "Compliance" not in text
