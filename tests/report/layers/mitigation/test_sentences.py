"""Words and cells against the record."""

from __future__ import annotations

from tests.report.layers.mitigation.synthetic_mitigation import around, make_mitigation, method

from hneurons.probes.bootstrap import Estimate
from hneurons.report.layers.mitigation.sentences import moves, sentences
from hneurons.report.layers.mitigation.views import control_lines, method_lines, place_lines
from hneurons.report.page import make_environment


def test_what_helps_and_what_does_not() -> None:
    said = " ".join(sentences(make_mitigation()))
    assert "100 questions (50 of in-domain and 50 of invented)" in said
    assert "Helper (alpha 0) lowers hallucinated answers by 10.0 [8.0, 12.0] points" in said
    assert "more answers are hallucinated under Harm (+8.0 [6.0, 10.0])" in said
    assert "nothing changes in hallucinated answers under Nothing <b> (+1.0 [−1.0, 3.0])" in said
    assert said.index("Twin (alpha 0)") < said.index("Helper (alpha 0)")  # the strongest first
    assert "Gate could not be had: no token score." in said
    assert "Compliance changes beyond its interval under Helper (−3.3 [−5.3, −1.3]), Twin" in said
    nothing = make_mitigation(methods=(method("Unchanged", "unchanged", 0, 0), method("A", "scaling", 0.001, 0)))
    assert "No method lowers the share of hallucinated answers beyond its interval." in sentences(nothing)


def test_controls_decide() -> None:
    said = " ".join(sentences(make_mitigation()))
    assert "Control for Helper, 2 draws: as many random neurons give −2.0 to +1.0 points" in said
    assert "the method has −10.0: beyond all of them (right answers +1.0 against −1.0 to 0.0)" in said
    assert "the method has +8.0: NOT beyond all of them" in said


def test_middle_against_end() -> None:
    said = " ".join(sentences(make_mitigation()))
    assert "than its end? Yes" in said
    assert "layers 2 to 3 less that over layers 4 to 5 is −6.0 [−8.0, −4.0] points" in said
    assert "further than under every random direction in layers 0, 1 and 2" in said
    depths = make_mitigation().depths
    assert depths is not None
    for change, word in ((around(0.06), "No, on the contrary"), (around(0.01), "That cannot be told")):
        told = make_mitigation(depths=depths.model_copy(update={"hallucinated": change}))
        assert f"than its end? {word}" in " ".join(sentences(told))


def test_prices() -> None:
    said = sentences(make_mitigation())
    assert any("Harm 1.98× the tokens through the layers, 2.02× through the unembedding" in each for each in said)
    cheap = make_mitigation(methods=make_mitigation().methods[:3])
    assert not any("For each token generated" in each for each in sentences(cheap))


def test_moves() -> None:
    assert [moves(around(value)) for value in (-0.05, 0.0, 0.05)] == [-1, 0, 1]
    assert moves(Estimate(value=0.1, low=None, high=None)) == 0


def test_cells() -> None:
    found = make_mitigation()
    intact, helper, *_, last = method_lines(found)
    assert (str(intact.hallucinated), intact.number, intact.altered) == ("35.0% [33.0, 37.0]", "", "–")
    assert (str(helper.hallucinated), helper.number, helper.altered) == ("−10.0 [−12.0, −8.0]", "1", "10%")
    assert (helper.kind, last.kind) == ("ours", "rival")
    assert (last.perplexity.value, last.perplexity.why) == ("–", found.methods[-1].perplexity.reason)
    assert str(method_lines(found)[3].seconds) == "1.90× [1.70, 2.30]"
    assert [str(cell) for cell in place_lines(found)[1].sets] == ["−10.0 [−12.0, −8.0]", "−5.0 [−7.0, −3.0]"]
    assert (control_lines(found)[0].hallucinated, control_lines(found)[0].compliance) == ("−2.0 to +1.0", "–")


def test_page_escapes_what_methods_are_called() -> None:
    from hneurons.report.html import _environment

    class Part:
        name, found = "mitigation", make_mitigation()

    assert make_environment().autoescape
    page = _environment().get_template("layers/mitigation.html").render(part=Part(), figures={})
    assert "Nothing &lt;b&gt;" in page
    assert "Nothing <b>" not in page
    assert "False context" in page
