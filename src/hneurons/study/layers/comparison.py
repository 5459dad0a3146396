"""The part `comparison` of a run: the states of the answers of every evaluation set, and the two kinds compared."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float32

from hneurons.errors import NotEnoughDataError
from hneurons.kept import joined, kept
from hneurons.layers.answered import Answered
from hneurons.layers.comparison.comparing import check_enough, compare
from hneurons.layers.comparison.effects import SPLITS
from hneurons.layers.comparison.record import Compared, Comparison
from hneurons.layers.comparison.rows import Rows
from hneurons.layers.comparison.separability import FOLDS
from hneurons.layers.comparison.states import collect_states
from hneurons.study.layers.work import LayersWork


def find_comparison(work: LayersWork) -> Comparison:
    """Compare the two kinds on every evaluation set that has both, or that borrows its faithful answers.

    Raises:
        NotEnoughDataError: there is no such set.
    """
    found, missing = [], {}
    for name in work.names:
        try:
            found.append(_compared(work, name))
        except NotEnoughDataError as error:
            missing[name] = str(error)
    if not found:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in missing.items())
        raise NotEnoughDataError(f"no evaluation set has enough answers of both kinds ({reasons})")
    return Comparison(
        n_layers=work.model.n_layers,
        hidden_size=work.model.hidden_size,
        n_folds=FOLDS,
        n_splits=SPLITS,
        sets=tuple(found),
        missing=missing,
    )


def states_of(work: LayersWork, name: str) -> Float32[np.ndarray, "answers layers reads hidden"]:
    """The states of `collect_states` for the answers of a set, in their order; read once, then kept in the run.

    Answers of like length go through the model together.
    """
    answered, size = work.answered(name), work.settings.batch_rows
    order = sorted(range(len(answered)), key=lambda row: (len(answered[row].token_ids), row))
    batches = [[answered[row] for row in order[start : start + size]] for start in range(0, len(order), size)]

    def read(batch: list[Answered]) -> dict[str, np.ndarray]:
        return {"states": collect_states(work.model, batch)}

    parts = kept(work.folder("comparison") / name, batches, read, work.engine, f"reading the states of {name}")
    states = joined(parts)["states"]
    return np.asarray(states[np.argsort(order)])


def _compared(work: LayersWork, name: str) -> Compared:
    answered, states = list(work.answered(name)), states_of(work, name) if work.answered(name) else None
    source = work.run.config.evaluate[name].faithful_from
    if source is not None:  # its own answers are hallucinated or a refusal: the faithful ones are lent
        lent = [row for row, each in enumerate(work.answered(source)) if not each.hallucinated]
        own = [row for row, each in enumerate(answered) if each.hallucinated]
        if states is not None and lent:
            states = np.concatenate([states[own], states_of(work, source)[lent]])
        answered = [answered[row] for row in own] + [work.answered(source)[row] for row in lent]
    rows = Rows.of(answered)
    check_enough(rows)
    assert states is not None
    settings = work.settings
    return compare(
        name,
        states,
        rows,
        faithful_from=source,
        n_bootstrap=settings.n_bootstrap,
        n_permutations=settings.n_permutations,
        seed=settings.seed,
    )
