"""What the answers of one set show: trajectories, decisions, overtaking, statistics, each beside its control."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64
from scipy.stats import false_discovery_control

from hneurons.layers.answered import Answered
from hneurons.layers.tracking.decision import decided_at, last_ahead, leads_all, leads_rivals, was_ahead
from hneurons.layers.tracking.matching import Pairs, match, paired_gaps
from hneurons.layers.tracking.reading import COMPETITOR, CORRECT, GIVEN
from hneurons.layers.tracking.record import (
    DecisionGap,
    Decisions,
    Entropies,
    LayerStatistic,
    LensName,
    Overtaken,
    Rule,
    SetTracking,
    Trajectory,
    Verdict,
)
from hneurons.layers.tracking.statistics import STATISTICS
from hneurons.probes.bootstrap import Bootstrap, Estimate

LENSES: tuple[LensName, ...] = ("logit", "tuned")
RULES: tuple[Rule, ...] = ("all", "rivals")
FOLLOWED = {"given": GIVEN, "correct": CORRECT, "competitor": COMPETITOR}
NONE_HERE = "no such answer in this set"


@dataclass(frozen=True)
class Asked:
    """How often is resampled and permuted, and from which seed."""

    resamples: int
    permutations: int
    seed: int


class SetReader:
    """Answers of one set and what was read of them, in the same order; `read` is as of `read_answers`, joined."""

    def __init__(self, answers: Sequence[Answered], read: Mapping[str, np.ndarray], asked: Asked) -> None:
        self.answers = answers
        self.read = read
        self.asked = asked
        self.hallucinated: Bool[np.ndarray, " answers"] = np.array([answer.hallucinated for answer in answers])
        self.groups = [answer.group for answer in answers]
        self.bootstrap = Bootstrap(np.array(self.groups), resamples=asked.resamples, seed=asked.seed)
        self.pairs: Pairs = match(
            [answer.key for answer in answers],
            [answer.kind for answer in answers],
            [len(answer.prompt_ids) for answer in answers],
            self.hallucinated,
            seed=asked.seed,
        )
        self.both = bool(self.hallucinated.any() and not self.hallucinated.all())

    def found(self, name: str, faithful_from: str = "", n_unplaced: int = 0) -> SetTracking:
        """Everything, as it is recorded."""
        given_right = ~np.isnan(self.read["logit_log_prob"][:, -1, CORRECT])
        reason = "" if self.both else f"all {len(self.answers)} answers are of one kind; there is nothing to compare"
        return SetTracking(
            name=name,
            faithful_from=faithful_from,
            n_faithful=int((~self.hallucinated).sum()),
            n_hallucinated=int(self.hallucinated.sum()),
            n_correct=int((given_right & self.hallucinated).sum()),
            n_unplaced=n_unplaced,
            n_pairs=len(self.pairs),
            reason=reason,
            trajectories=tuple(self._trajectories()),
            entropies=tuple(self._entropies()),
            decisions=tuple(each for lens in LENSES for rule in RULES for each in self._decisions(lens, rule)),
            gaps=tuple(self._gap(lens, rule) for lens in LENSES for rule in RULES) if self.both else (),
            overtaken=tuple(self._overtaken(lens) for lens in LENSES)
            if (given_right & self.hallucinated).any()
            else (),
            statistics=tuple(self._statistics()),
        )

    def decided(self, lens: LensName, rule: Rule) -> Float64[np.ndarray, " answers"]:
        """The depth at which each answer is decided; NaN where it never is."""
        if rule == "all":
            leads = leads_all(self.read[f"{lens}_rank"][:, :, GIVEN])
        else:
            log_prob = self.read[f"{lens}_log_prob"]
            leads = leads_rivals(log_prob[:, :, GIVEN], log_prob[:, :, [CORRECT, COMPETITOR]])
        depths = decided_at(leads).astype(np.float64)
        return np.where(depths < 0, np.nan, depths)

    def _verdicts(self) -> list[tuple[Verdict, Bool[np.ndarray, " answers"]]]:
        both: list[tuple[Verdict, Bool[np.ndarray, " answers"]]] = [
            ("faithful", ~self.hallucinated), ("hallucinated", self.hallucinated),
        ]  # fmt: skip
        return [(verdict, rows) for verdict, rows in both if rows.any()]

    def _trajectories(self) -> list[Trajectory]:
        made = []
        for lens in LENSES:
            for verdict, rows in self._verdicts():
                for token, column in FOLLOWED.items():
                    values = np.exp(self.read[f"{lens}_log_prob"][:, :, column].astype(np.float64))
                    there = rows & ~np.isnan(values[:, -1])
                    if there.any():
                        made.append(
                            Trajectory(
                                lens=lens,
                                verdict=verdict,
                                token=token,  # type: ignore[arg-type]
                                n=int(there.sum()),
                                probability=tuple(self._means(values, there, NONE_HERE)),
                                rank=tuple(np.median(self.read[f"{lens}_rank"][there, :, column], axis=0).tolist()),
                            )
                        )
        return made

    def _entropies(self) -> list[Entropies]:
        return [
            Entropies(
                lens=lens,
                verdict=verdict,
                entropy=tuple(self._means(self.read[f"{lens}_entropy"].astype(np.float64), rows, NONE_HERE)),
            )
            for lens in LENSES
            for verdict, rows in self._verdicts()
        ]

    def _decisions(self, lens: LensName, rule: Rule) -> list[Decisions]:
        depths, n_depths = self.decided(lens, rule), self.read["logit_entropy"].shape[1]
        made = []
        for verdict, rows in self._verdicts():
            own = depths[rows]
            never = self._means(np.isnan(depths).astype(np.float64)[:, None], rows, NONE_HERE)[0]
            made.append(
                Decisions(
                    lens=lens,
                    rule=rule,
                    verdict=verdict,
                    n=len(own),
                    shares=tuple(float((own == depth).mean()) for depth in range(n_depths)),
                    never=never,
                    mean=self._means(depths[:, None], rows, "none leads at the end")[0],
                )
            )
        return made

    def _means(
        self, values: Float64[np.ndarray, "rows columns"], rows: Bool[np.ndarray, " rows"], reason: str
    ) -> list[Estimate]:
        """Over those of the rows that are not NaN there."""
        return self.bootstrap.means(values, rows[:, None] & ~np.isnan(values), reason)

    def _gap(self, lens: LensName, rule: Rule) -> DecisionGap:
        depths = self.decided(lens, rule)
        known = ~np.isnan(depths)
        pairs = self.pairs.where(known)
        (matched,), p = self._paired(depths[:, None], pairs)
        lengths = np.array([len(answer.prompt_ids) for answer in self.answers], dtype=np.float64)
        apart = lengths[pairs.hallucinated] - lengths[pairs.faithful]
        return DecisionGap(
            lens=lens,
            rule=rule,
            raw=self.bootstrap.gap(
                depths, known & self.hallucinated, known & ~self.hallucinated, "one kind is never decided"
            ),
            matched=matched,
            n_pairs=len(pairs),
            length_gap=float(np.abs(apart).mean()) if len(pairs) else None,
            p=None if p is None else float(p[0]),
        )

    def _overtaken(self, lens: LensName) -> Overtaken:
        log_prob = self.read[f"{lens}_log_prob"]
        given, correct = log_prob[:, :, GIVEN], log_prob[:, :, CORRECT]
        own = was_ahead(given, correct[:, :, None])[:, 0]
        counts = self.hallucinated & ~np.isnan(own)
        others = was_ahead(given, log_prob[:, :, COMPETITOR + 1 :])
        n_others = (~np.isnan(others)).sum(axis=1)
        control = np.where(n_others > 0, np.nansum(others, axis=1) / np.maximum(n_others, 1), np.nan)
        columns = np.column_stack([own, control, own - control])
        share, other, difference = self._means(columns, counts, "no right answer is behind at the end")
        last = last_ahead(given, correct)[counts]
        return Overtaken(
            lens=lens,
            n=int(counts.sum()),
            share=share,
            control=other,
            difference=difference,
            last=tuple(float((last == depth).mean()) if len(last) else 0.0 for depth in range(given.shape[1])),
        )

    def _statistics(self) -> list[LayerStatistic]:
        if not self.both:
            return []
        values = self.read["statistics"].astype(np.float64)
        n, layers, kinds = values.shape
        flat = values.reshape(n, layers * kinds)
        spread = flat.std(axis=0)
        scaled = np.where(spread > 0, (flat - flat.mean(axis=0)) / np.where(spread > 0, spread, 1.0), 0.0)
        gaps, p = self._paired(scaled, self.pairs)
        q = None if p is None else false_discovery_control(p)
        by_verdict = [self._means(flat, rows, NONE_HERE) for rows in (~self.hallucinated, self.hallucinated)]
        return [
            LayerStatistic(
                statistic=STATISTICS[kind],
                layer=layer,
                faithful=by_verdict[0][layer * kinds + kind],
                hallucinated=by_verdict[1][layer * kinds + kind],
                gap=gaps[layer * kinds + kind],
                p=None if p is None else float(p[layer * kinds + kind]),
                q=None if q is None else float(q[layer * kinds + kind]),
            )
            for kind in range(kinds)
            for layer in range(layers)
        ]

    def _paired(
        self, values: Float64[np.ndarray, "answers columns"], pairs: Pairs
    ) -> tuple[list[Estimate], Float64[np.ndarray, " columns"] | None]:
        asked = self.asked
        return paired_gaps(
            values, pairs, self.groups, resamples=asked.resamples, permutations=asked.permutations, seed=asked.seed
        )
