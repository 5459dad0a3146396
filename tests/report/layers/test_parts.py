"""All seven parts on one page: what matters most first, nothing said twice, nothing of a model taken for markup."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest
from tests.report.layers.attention.made import made as make_attention
from tests.report.layers.causality.traced import make_causality
from tests.report.layers.comparison.made import made as make_comparison
from tests.report.layers.concepts.synthetic import make_concepts
from tests.report.layers.confidence.made import make_confidence
from tests.report.layers.mitigation.synthetic_mitigation import make_mitigation
from tests.report.layers.tracking.made import made as make_tracking
from tests.report.synthetic import make_results

from hneurons.layers.record import Layers
from hneurons.layers.settings import PARTS
from hneurons.report.html import render
from hneurons.report.illustration import Illustration
from hneurons.report.layers.parts import parts_shown


@pytest.fixture(scope="module")
def layers() -> Layers:
    """What all parts but the last found; that one has a reason with markup in it."""
    return Layers(
        settings={},
        probe="p",
        seconds={},
        missing={"mitigation": "<script>alert(1)</script>"},
        tracking=make_tracking(),
        comparison=make_comparison(),
        attention=make_attention(),
        confidence=make_confidence(),
        concepts=make_concepts(),
        causality=make_causality(),
    )


class Tags(HTMLParser):
    """Every element that is opened, and the ids."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.ids: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.ids += [value for name, value in attrs if name == "id" and value]


def test_what_matters_most_is_said_first_and_once(layers: Layers) -> None:
    shown = parts_shown(layers.model_copy(update={"mitigation": make_mitigation(), "missing": {}}))
    assert [part.name for part in shown] == list(PARTS)
    for part in shown:
        assert 1 <= len(part.headlines) <= 5, part.name
        assert len(part.sentences) >= 1
        assert not set(part.headlines) & set(part.sentences)
        assert all(each.rstrip().endswith((".", ":")) for each in (*part.headlines, *part.sentences))
        assert all(each.name.startswith(f"layers-{part.name}") for each in part.illustrations)


def test_the_page_holds_all_parts_and_takes_nothing_for_markup(layers: Layers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Illustration, "svg", lambda _: "<svg></svg>")  # they are drawn in tests of their own
    page = Tags()
    text = render(make_results().model_copy(update={"layers": layers}))
    page.feed(text)
    assert "script" not in page.tags
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert len(page.ids) == len(set(page.ids))
    assert {f"layers-{part}" for part in PARTS} <= set(page.ids)
    drawn = [each.name for part in parts_shown(layers) for each in part.illustrations]
    assert {f"figure-{name}" for name in drawn} <= set(page.ids)
    for part in parts_shown(layers):
        first = text.index(f'id="layers-{part.name}"')
        assert part.reason or text.index("All of it in words", first) > text.index("<p>", first)
    assert 'id="layers"' not in render(make_results())
