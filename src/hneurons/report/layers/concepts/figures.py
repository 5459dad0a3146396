"""The figures of this part."""

from __future__ import annotations

from hneurons.layers.concepts.record import Concepts
from hneurons.report.illustration import Illustration
from hneurons.report.layers.concepts.angles import draw_angles
from hneurons.report.layers.concepts.probes import draw_probes
from hneurons.report.layers.concepts.reading import pictured_set
from hneurons.report.layers.concepts.scatter import draw_scatter
from hneurons.report.layers.concepts.sentences import angle_sentence, picture_sentence, probe_sentence


def illustrations(found: Concepts) -> list[Illustration]:
    """Probes by layer, states in two dimensions, and how the two directions relate."""
    made = [
        Illustration(
            "layers-concepts-probes",
            "What linear probes tell, by layer",
            probe_sentence(found),
            "Panels for each evaluation set: AUROC for factuality and for uncertainty over the layers, with that of "
            "permuted labels and of question kind and lengths; accuracy for factuality, with that of control tasks.",
            lambda palette: draw_probes(found, palette),
        )
    ]
    name = pictured_set(found)
    if name is not None:
        made.append(
            Illustration(
                "layers-concepts-pictures",
                f"States of {name} in two dimensions",
                picture_sentence(found),
                "Scatter plots of answers, hallucinated and faithful, by PCA and UMAP, for several layers.",
                lambda palette: draw_scatter(found, palette),
            )
        )
    made.append(
        Illustration(
            "layers-concepts-angles",
            "Factuality and uncertainty",
            angle_sentence(found),
            "The cosine between the two directions by layer, with bands of permuted labels; AUROC for factuality with "
            "and without uncertainty.",
            lambda palette: draw_angles(found, palette),
        )
    )
    return made
