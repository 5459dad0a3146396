"""From which depth the given answer leads for good, and whether the right one was ahead before."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int64

from hneurons.questions.loading import rank

N_CONTROLS = 8
"""Other right answers that each right answer is held against."""


def decided_at(leads: Bool[np.ndarray, "answers depths"]) -> Int64[np.ndarray, " answers"]:
    """The first depth from which an answer leads at every depth to the last; -1 where it does not lead at the last."""
    held = np.flip(np.logical_and.accumulate(np.flip(leads, axis=1), axis=1), axis=1)
    first: Int64[np.ndarray, " answers"] = np.where(held[:, -1], held.argmax(axis=1), -1).astype(np.int64)
    return first


def leads_all(rank_of_given: Int64[np.ndarray, "answers depths"]) -> Bool[np.ndarray, "answers depths"]:
    """Where no token is likelier than the given one."""
    return np.asarray(rank_of_given == 1)


def leads_rivals(
    given: Float[np.ndarray, "answers depths"], rivals: Float[np.ndarray, "answers depths rivals"]
) -> Bool[np.ndarray, "answers depths"]:
    """Where no rival is likelier than the given token, by log-probability; NaN is a rival that is not there."""
    return np.asarray(~(rivals > given[:, :, None]).any(axis=2))


def was_ahead(
    given: Float[np.ndarray, "answers depths"], others: Float[np.ndarray, "answers depths others"]
) -> Float[np.ndarray, "answers others"]:
    """Whether each other token led the given one at some depth: 1 or 0; NaN where it is not there or leads at the end.

    A token that still leads at the end was not overtaken.
    """
    ahead = others > given[:, :, None]
    counts = ~np.isnan(others[:, -1]) & ~ahead[:, -1]
    return np.asarray(np.where(counts, ahead.any(axis=1), np.nan))


def last_ahead(
    given: Float[np.ndarray, "answers depths"], correct: Float[np.ndarray, "answers depths"]
) -> Int64[np.ndarray, " answers"]:
    """The last depth at which the right token led the given one; -1 where it never did."""
    ahead = correct > given
    depths = np.arange(ahead.shape[1])
    found: Int64[np.ndarray, " answers"] = np.where(ahead, depths, -1).max(axis=1).astype(np.int64)
    return found


def other_answers(
    keys: Sequence[str],
    kinds: Sequence[str],
    given: Sequence[int],
    correct: Sequence[int | None],
    *,
    draws: int = N_CONTROLS,
    seed: int = 0,
) -> Int64[np.ndarray, "answers draws"]:
    """For each answer the right tokens of other answers to the same kind of question, drawn by `seed`.

    They are as frequent as right answers are; none is its own given or right token. -1 where there are too few.
    """
    pool: dict[str, list[tuple[str, int]]] = {}
    for row, token in enumerate(correct):
        if token is not None:
            pool.setdefault(kinds[row], []).append((keys[row], token))
    found = np.full((len(keys), draws), -1, dtype=np.int64)
    for row, key in enumerate(keys):
        if correct[row] is None:
            continue
        others = [each for each in pool[kinds[row]] if each[1] not in (given[row], correct[row])]
        others.sort(key=lambda each: rank(f"{key}\n{each[0]}", seed))
        drawn = [token for _, token in others[:draws]]
        found[row, : len(drawn)] = drawn
    return found
