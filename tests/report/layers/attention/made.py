"""An invented record of attention: a planted head, a benchmark with a context, or what is asked for instead."""

from __future__ import annotations

from functools import cache

import numpy as np

from hneurons.layers.attention.contrast import LEVEL, Draws, contrast
from hneurons.layers.attention.handing import Implementation
from hneurons.layers.attention.record import Attention, Contrast
from hneurons.layers.attention.weights import ATTENDED, Shares

LAYERS, HEADS = 4, 3
SUBJECT, TEMPLATE, CONTEXT = (ATTENDED.index(name) for name in ("subject", "template", "context"))


def made_contrast(n: int, effect: float, *, context: bool, focus: float = 0.0, name: str = "answers") -> Contrast:
    """A planted head (layer 2, head 1) that looks by `effect` more at the subject, and `focus` in every head."""
    random = np.random.default_rng(n)
    second = np.arange(n) % 2 == 1
    share = random.dirichlet(np.full(len(ATTENDED), 8.0), (n, LAYERS, HEADS))
    telling = CONTEXT if context else SUBJECT
    share[second, 2, 1, SUBJECT] += effect
    share[second, 2, 1, TEMPLATE] -= effect
    share[second, :, :, telling] += focus
    share[second, :, :, TEMPLATE] -= focus
    uniform = random.dirichlet(np.full(len(ATTENDED), 50.0), (n, LAYERS))
    if not context:
        for values in (share, uniform):
            values[..., 0] += values[..., CONTEXT]
            values[..., CONTEXT] = 0
    sets = np.array(["in-domain", "<b>odd</b>"])[(np.arange(n) // 2) % 2]
    only = np.where((sets == "in-domain") | second, "country", "city")
    return contrast(
        Shares(
            tuple(range(LAYERS)),
            Implementation("sdpa", "eager"),
            share,
            uniform,
            random.random((n, LAYERS, HEADS)),
            np.full((n, LAYERS), 2.0),
        ),
        second,
        np.array([f"{a}, {b}" for a, b in zip(sets, only, strict=True)]) if not context else np.array(["one"] * n),
        np.array([f"g{i // 2}" for i in range(n)]),
        name=name,
        title="False <context>" if context else "Answers of the evaluation sets",
        kinds=("resisted", "complied") if context else ("faithful", "hallucinated"),
        draws=Draws(bootstrap=60, permutations=60),
        sets=None if context else sets,
        left_out={"unparsed": 3, "spelled_otherwise": 1} if context else None,
    )


@cache
def made(effect: float = 0.15, focus: float = 0.0, used: str = "eager", before: str = "sdpa") -> Attention:
    """Answers and one benchmark."""
    return Attention(
        used=used,
        before=before,
        level=LEVEL,
        layers=tuple(range(LAYERS)),
        n_heads=HEADS,
        segments=ATTENDED,
        answers=made_contrast(240, effect, context=False, focus=focus),
        contexts=(made_contrast(60, effect, context=True, focus=focus, name="atlas/context"),),
        missing={},
    )
