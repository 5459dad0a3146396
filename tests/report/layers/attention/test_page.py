"""The tables of attention on the page."""

from __future__ import annotations

from markupsafe import Markup
from tests.report.layers.attention.made import made
from tests.report.test_html import Page

from hneurons.layers.record import Layers
from hneurons.report.html import _environment
from hneurons.report.layers.attention.views import segment_lines
from hneurons.report.layers.parts import parts_shown


def test_the_page_has_shares_heads_and_sets() -> None:
    found = made()
    parts = parts_shown(Layers(settings={}, probe="x", seconds={}, missing={}, attention=found))
    figures = {each.name: (each, Markup("<svg></svg>")) for part in parts for each in part.illustrations}
    text = _environment().get_template("layers.html").render(layer_parts=parts, figures=figures)
    page = Page(text)
    assert not page.open
    assert found.answers is not None
    rows = page.table("Answers of the evaluation sets: share of attention")
    assert [row[0] for row in rows[1:]] == ["first token", "template", "question", "subject", "said before"]
    line = segment_lines(found.answers)[3]
    assert rows[4] == ["subject", line.first, line.second, line.uniform, str(line.lift), str(line.share)]
    (caption,) = [each for each in page.captions if each.startswith("False <context>: share")]
    assert "Left out: 3 not understood; 1 that does not encode" in caption
    chosen = page.table("Difference in lift, hallucinated less faithful")
    assert chosen[1][0] == "layer 2, head 1"
    assert chosen[1][-1] == "confirmed"
    sets = page.table("Share of attention on the subject less")
    assert [row[:2] for row in sets[1:]] == [["in-domain", "60 + 60"], ["<b>odd</b>", "60 + 60"]]
    assert sets[2][4] == "–"
    assert "<b>odd" not in text
