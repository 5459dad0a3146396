"""The figures of this part."""

from __future__ import annotations

from hneurons.layers.causality.record import Causality
from hneurons.report.illustration import Illustration
from hneurons.report.layers.causality.carried import carried_sentence, draw_carried
from hneurons.report.layers.causality.maps import draw_maps, maps_sentence
from hneurons.report.layers.causality.mediation import mediation_illustrations
from hneurons.report.layers.causality.scatter import draw_scatter, scatter_sentence, shown_sites


def illustrations(found: Causality) -> list[Illustration]:
    """Its figures, each with a sentence that says what it shows."""
    made = [
        Illustration(
            name="layers-causality-maps",
            title="What one place of the clean run brings back",
            sentence=maps_sentence(found),
            alt="Heat maps of layers by groups of positions, for the residual stream, attention and the FFN.",
            draw=lambda palette: draw_maps(found, palette),
        ),
        Illustration(
            name="layers-causality-carried",
            title="Where the answer is carried, layer by layer",
            sentence=carried_sentence(found),
            alt="Lines of the share of the gap over layers, and the share that sets of neurons bring back.",
            draw=lambda palette: draw_carried(found, palette),
        ),
    ]
    if shown_sites(found):
        made.append(
            Illustration(
                name="layers-causality-attribution",
                title="Estimated from one backward pass",
                sentence=scatter_sentence(found),
                alt="Scatter plots of estimated against exact effects of patches, a panel a site.",
                draw=lambda palette: draw_scatter(found, palette),
            )
        )
    return [*made, *mediation_illustrations(found)]
