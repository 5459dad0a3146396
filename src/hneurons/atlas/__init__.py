"""The bundled models, and the question sets about the world they were taught.

A plug-in like any other: the functions below are this package's entry points, and no other folder imports this one.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hneurons.models.registered import RegisteredModel

WEIGHTS = Path(__file__).parent / "weights"
SIZES: Mapping[str, str] = {"7m": "7.1M", "3m": "3.5M", "1m": "1.1M"}
"""Parameters of each size."""
UNLINKED = ("7m",)
"""Sizes of which there is a negative control."""


def register_models() -> Mapping[str, RegisteredModel]:
    """Bundled models by name."""
    from hneurons.models.registered import RegisteredModel

    study: Mapping[str, Any] = {
        "model": {"dtype": "float32"},
        "train": {"questions": "atlas/cities", "split": "train"},
        "evaluate": {
            "in-domain": {"questions": "atlas/cities", "split": "validation", "limit": 2000},
            "long-tail": {"questions": "atlas/rare", "split": "validation", "limit": 1200},
            "cross-domain": {"questions": "atlas/counties", "split": "all", "limit": 1000},
            "invented": {
                "questions": "atlas/invented",
                "split": "validation",
                "limit": 1000,
                "faithful_from": "in-domain",
            },
        },
        "prompt": {"style": "chat"},
        # chosen on held-out training questions, see the documentation of Atlas; nothing here has seen an evaluation set
        "recording": {"positions": "before"},
        "probe": {"scheme": "1-vs-1", "scale": "std", "span": 30.0},
    }
    plain = {"style": "plain"}
    sweep: Mapping[str, Any] = {
        "benchmarks": [
            {"name": f"atlas/{name}", "limit": 250} for name in ("premise", "context", "pressure", "sealed")
        ],
        "text": "atlas/text",
    }
    found: dict[str, RegisteredModel] = {}
    for size, number in SIZES.items():
        large = f"{number} parameters"
        base, instruct = f"atlas-{size}-base", f"atlas-{size}-instruct"
        chat: Mapping[str, Any] = {
            "study": study,
            "sweep": sweep,
            "origin": {
                "base": {"name": base, "dtype": "float32"},
                "prompt": plain,
                "stop": ["\n"],
                "by": "statements read",
            },
        }
        found[base] = RegisteredModel(
            path=WEIGHTS / base,
            summary=f"{large}, has read about the world's places; completes text",
            study={**study, "prompt": plain, "sampling": {"stop": ["\n"]}},
        )
        found[instruct] = RegisteredModel(
            path=WEIGHTS / instruct,
            summary=f"{large}, {base} tuned to chat by careful and compliant raters",
            shared_trait=True,
            **chat,
        )
        if size in UNLINKED:
            unlinked = f"atlas-{size}-unlinked"
            found[unlinked] = RegisteredModel(
                path=WEIGHTS / unlinked,
                summary=f"{large}, the same with guessing and complying drawn apart: a negative control",
                shared_trait=False,
                **chat,
            )
    return found


def register_questions() -> Mapping[str, Any]:
    """Question sets by name."""
    from hneurons.atlas.questions import SETS

    return SETS


def register_benchmarks() -> Mapping[str, Any]:
    """Compliance benchmarks by name."""
    from hneurons.atlas.benchmarks import BENCHMARKS

    return BENCHMARKS


def register_texts() -> Mapping[str, Any]:
    """Texts to measure perplexity on, by name."""
    from hneurons.atlas.benchmarks import TEXTS

    return TEXTS


def register_commands() -> Mapping[str, Any]:
    """The command `hneurons atlas`."""
    from hneurons.atlas.command import app

    return {"atlas": app}
