"""What happens when neurons are turned."""

from __future__ import annotations

from hneurons.interventions.ablating import ablate
from hneurons.interventions.contrasting import contrast
from hneurons.interventions.gating import GateCount, gate, gate_threshold
from hneurons.interventions.patching import patch
from hneurons.interventions.recalibrating import recalibrate
from hneurons.interventions.reference import Activations, Means, activations, mean_activations
from hneurons.interventions.scaling import Scaling, scale, scale_rows
from hneurons.interventions.sites import Site
from hneurons.interventions.steering import steer

__all__ = [
    "Activations",
    "GateCount",
    "Means",
    "Scaling",
    "Site",
    "ablate",
    "activations",
    "contrast",
    "gate",
    "gate_threshold",
    "mean_activations",
    "patch",
    "recalibrate",
    "scale",
    "scale_rows",
    "steer",
]
