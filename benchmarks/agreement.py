"""How far judging and answer spans by rule agree with people and with a language model.

    python benchmarks/agreement.py DATA
    python benchmarks/agreement.py DATA --show 20     # and some of the cases in which they differ

DATA is a folder with any of these; what is not there is left out:

    human-judged/evouna_tq.json                 answers of five systems to 2,000 questions, each judged by a person
    h-neurons-examples/*answer_tokens*.jsonl    answers with the tokens that GPT-4o marked (public code of H-Neurons)
    ten-samples/*.jsonl                         ten answers a question, judged by a plain substring rule
    pushback/*.jsonl                            answers before and after a challenge, each judged by a language model

The cases fall into three parts by a hash of their question: "half" (1/2), on which the rules were made, "looked at"
(1/4), whose differences were read once, after which the rules were changed again, and "kept back" (1/4), of which only
the figures printed here were ever seen. Of the replies to a challenge the half was read, and nothing else.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from figures import Figure, add_json, save
from hneurons.compliance.second_answers import SecondAnswer, second_answer
from hneurons.questions.question import Question
from hneurons.responses.judging import judge
from hneurons.responses.public_formats import read_answer_tokens, read_samples
from hneurons.responses.spans import answer_spans, span_tokens

SYSTEMS = ("fid", "gpt35", "chatgpt", "gpt4", "newbing")
PARTS = ("half", "looked at", "kept back")
HALVES = ("half", "other half")
CHALLENGES = ("authoritative", "emotional", "simple", "social")
SUFFIX = " Respond with the answer only, without any explanation."
LONG = 12


@dataclass(frozen=True)
class Judged:
    """One answer with a person's verdict and two of ours: by rule, and by a plain rule to hold it against."""

    part: str
    system: str
    question: Question
    answer: str
    human: bool
    ours: bool
    plain: bool


@dataclass(frozen=True)
class Marked:
    """One answer with the tokens that were marked, ours, and those that trimming leaves."""

    part: str
    text: str
    n_tokens: int
    marked: tuple[int, ...]
    ours: tuple[int, ...]
    trimmed: tuple[int, ...]


@dataclass(frozen=True)
class Pushed:
    """A reply after a challenge, with a model's verdict on it and on the answer before, and ours on both.

    `plain` is the verdict on the reply by the rules for any answer, which do not know of challenges.
    """

    part: str
    kind: str
    question: Question
    first: str
    reply: str
    first_right: bool
    right: bool
    verdict: str
    our_first: bool
    ours: SecondAnswer
    plain: bool


def part_of(key: str) -> str:
    """The part that a question belongs to, by its id or text."""
    first, second = (int(hashlib.sha256(text.encode()).hexdigest(), 16) % 2 for text in (key, "q" + key))
    return PARTS[0] if first == 0 else PARTS[1 + second]


def aliases(golden: str) -> tuple[str, ...]:
    """The aliases that "/" joins; one between digits (24/7) also belongs to a number, and is kept as it is too."""
    parts = [part.strip() for part in golden.split("/")]
    joined = [golden.strip()] if re.search(r"\d/\d", golden) else []
    return tuple(dict.fromkeys(part for part in (*parts, *joined) if part))


def plain_rule(text: str, question: Question) -> bool:
    """An alias at word boundaries after normalisation, and nothing more: the rule of the method's own description."""
    said = f" {_plain(text)} "
    return any(f" {alias} " in said for alias in map(_plain, question.aliases) if alias)


def _plain(text: str) -> str:
    words = re.sub(r"[\W_]", " ", text.lower()).split()
    return " ".join(word for word in words if word not in {"a", "an", "the"})


def judged_by_people(path: Path, systems: Sequence[str] = SYSTEMS) -> Iterator[Judged]:
    """The answers of some systems, without those to questions marked improper."""
    for row in json.loads(path.read_text(encoding="utf-8")):
        if row["improper"]:
            continue
        question = Question(id="q", text=row["question"], aliases=aliases(row["golden_answer"]))
        for system in systems:
            text = row[f"answer_{system}"]
            yield Judged(
                part=part_of(row["question"]),
                system=system,
                question=question,
                answer=text,
                human=bool(row[f"judge_{system}"]),
                ours=judge(text, question) == "correct",
                plain=plain_rule(text, question),
            )


def marked_by_a_model(path: Path) -> Iterator[Marked]:
    """Answers of which some token was marked; offsets are those of the tokenizer pieces put together."""
    for row in read_answer_tokens(path, suffix=SUFFIX):
        if row.alignment in {"none_marked", "no_match"}:
            continue
        pieces = [piece.replace("▁", " ") for piece in row.tokens]
        ends = [sum(map(len, pieces[: i + 1])) for i in range(len(pieces))]
        offsets = [(end - len(piece), end) for end, piece in zip(ends, pieces, strict=True)]
        text = "".join(pieces)
        yield Marked(
            part=part_of(row.question_id),
            text=text,
            n_tokens=len(pieces),
            marked=row.answer,
            ours=span_tokens(answer_spans(text, row.question_text), offsets),
            trimmed=_trimmed(pieces),
        )


def _trimmed(pieces: Sequence[str]) -> tuple[int, ...]:
    """The tokens without those at either end that have neither letter nor digit."""
    telling = [i for i, piece in enumerate(pieces) if any(c.isalnum() for c in piece)]
    return tuple(range(telling[0], telling[-1] + 1)) if telling else ()


def f1(found: Sequence[int], marked: Sequence[int]) -> float:
    """The harmonic mean of precision and recall over token positions."""
    return 2 * len(set(found) & set(marked)) / (len(found) + len(marked)) if found or marked else 1.0


def agreement(rows: Sequence[Judged], verdict: Callable[[Judged], bool]) -> dict[str, float]:
    """Agreement, false acceptances (of all, and of the human-wrong) and false rejections, as shares."""
    false = sum(verdict(row) and not row.human for row in rows)
    return {
        "answers": len(rows),
        "agreement": sum(verdict(row) == row.human for row in rows) / len(rows),
        "false_acceptances": false / len(rows),
        "false_acceptances_of_wrong": false / max(1, sum(not row.human for row in rows)),
        "false_rejections": sum(row.human and not verdict(row) for row in rows) / len(rows),
    }


def span_scores(rows: Sequence[Marked], found: Callable[[Marked], tuple[int, ...]]) -> dict[str, float]:
    """Mean token F1, share exact, and mean F1 of the answers over twelve tokens."""
    scores = [f1(found(row), row.marked) for row in rows]
    long = [score for score, row in zip(scores, rows, strict=True) if row.n_tokens > LONG]
    return {
        "answers": len(rows),
        "f1": sum(scores) / len(rows),
        "exact": sum(found(row) == row.marked for row in rows) / len(rows),
        "long": len(long),
        "f1_long": sum(long) / max(1, len(long)),
    }


def after_a_challenge(
    path: Path, kinds: Sequence[str] = CHALLENGES, halves: Sequence[str] = HALVES
) -> Iterator[Pushed]:
    """The replies to some kinds of challenge. What a right first answer claims counts as right in the reply too."""
    for line in path.read_text(encoding="utf-8").split("\n"):
        row = json.loads(line) if line.strip() else {"final_response": None}
        if row["final_response"] is None or row["pushback_type"] not in kinds:
            continue
        half = HALVES[part_of(row["qid"]) != PARTS[0]]
        if half not in halves:
            continue
        question = Question(id=row["qid"], text=row["question"], aliases=(row["correct_answer"],))
        first, reply = row["initial_response"], row["final_response"]
        yield Pushed(
            part=half,
            kind=row["pushback_type"],
            question=question,
            first=first,
            reply=reply,
            first_right=row["initially_correct"],
            right=row["finally_correct"],
            verdict=row["final_verdict"],
            our_first=judge(first, question) == "correct",
            ours=second_answer(reply, question, first if row["initially_correct"] else ""),
            plain=judge(reply, question) == "correct",
        )


def kappa(pairs: Sequence[tuple[bool, bool]]) -> tuple[float, float]:
    """The share of pairs that agree, and Cohen's kappa: agreement beyond what the margins alone would give."""
    n = len(pairs)
    agreed = sum(a == b for a, b in pairs) / n
    first, second = sum(a for a, _ in pairs) / n, sum(b for _, b in pairs) / n
    chance = first * second + (1 - first) * (1 - second)
    return agreed, (agreed - chance) / (1 - chance) if chance < 1 else 1.0


def capitulation(rows: Sequence[Pushed], ours: bool) -> float:
    """The share of right first answers that are not right after the challenge."""
    eligible = [row for row in rows if row.first_right]
    return sum(row.ours != "right" if ours else not row.right for row in eligible) / len(eligible)


def _of(part: str, rows: Sequence[Judged] | Sequence[Marked]) -> list:  # type: ignore[type-arg]
    return [row for row in rows if part == "all" or row.part == part]


def print_judging(rows: Sequence[Judged], show: int) -> None:
    print(
        "Judging, against people. Share of answers; FA: accepted though a person rejects it (of all, of the rejected)\n"
    )
    print(f"{'system':9}{'part':11}{'answers':>8}{'plain':>9}{'ours':>9}{'FA':>9}{'FA/wrong':>10}{'rejected':>10}")
    for system in SYSTEMS:
        for part in (*PARTS, "all"):
            chosen = [row for row in _of(part, rows) if row.system == system]
            ours, plain = agreement(chosen, lambda r: r.ours), agreement(chosen, lambda r: r.plain)
            print(
                f"{system:9}{part:11}{ours['answers']:8}{plain['agreement']:9.4f}{ours['agreement']:9.4f}"
                f"{ours['false_acceptances']:9.4f}{ours['false_acceptances_of_wrong']:10.4f}{ours['false_rejections']:10.4f}"
            )
    differing = [row for row in rows if row.part == PARTS[0] and row.ours != row.human]
    for row in random.Random(0).sample(differing, min(show, len(differing))):
        kind = "accepted" if row.ours else "rejected"
        print(f"\n{kind}: {row.question.text}\n  aliases: {'; '.join(row.question.aliases)[:150]}")
        print(f"  answer: {row.answer[:200]}")


def print_spans(rows: Sequence[Marked], show: int) -> None:
    print("\nAnswer spans, against the tokens that GPT-4o marked\n")
    print(f"{'rule':10}{'part':11}{'answers':>8}{'F1':>9}{'exact':>9}{'long':>7}{'F1 long':>10}")
    rules: dict[str, Callable[[Marked], tuple[int, ...]]] = {
        "whole": lambda row: tuple(range(row.n_tokens)),
        "trimmed": lambda row: row.trimmed,
        "ours": lambda row: row.ours,
    }
    for rule, found in rules.items():
        for part in (*PARTS, "all"):
            s = span_scores(_of(part, rows), found)
            print(f"{rule:10}{part:11}{s['answers']:8}{s['f1']:9.4f}{s['exact']:9.4f}{s['long']:7}{s['f1_long']:10.4f}")
    differing = [row for row in rows if row.part == PARTS[0] and row.ours != row.marked]
    for row in random.Random(0).sample(differing, min(show, len(differing))):
        print(f"\n{row.text!r}\n  marked {list(row.marked)}, ours {list(row.ours)}")


def print_samples(path: Path) -> None:
    counts: Counter[tuple[str, str]] = Counter()
    for row in read_samples(path, suffix=SUFFIX):
        counts.update((theirs, judge(text, row.question)) for text, theirs in zip(row.texts, row.verdicts, strict=True))
    print("\nJudging, against a plain substring rule on ten samples a question (substring rule, ours: answers)\n")
    for (theirs, ours), n in sorted(counts.items(), key=lambda item: -item[1]):
        print(f"{theirs:12}{ours:12}{n:8}")


def print_pushback(rows: Sequence[Pushed], show: int) -> None:
    print("\nAfter a challenge, against a language model's verdicts\n")
    print(f"{'part':12}{'challenge':15}{'replies':>8}{'plain':>8}{'ours':>8}{'kappa':>8}{'their rate':>12}{'ours':>8}")
    for part in HALVES:
        here = [row for row in rows if row.part == part]
        for kind in (*CHALLENGES, "all"):
            chosen = [row for row in here if kind in (row.kind, "all")]
            plain, _ = kappa([(row.right, row.plain) for row in chosen])
            agreed, beyond = kappa([(row.right, row.ours == "right") for row in chosen])
            theirs, ours = capitulation(chosen, ours=False), capitulation(chosen, ours=True)
            print(f"{part:12}{kind:15}{len(chosen):8}{plain:8.3f}{agreed:8.3f}{beyond:8.3f}{theirs:12.3f}{ours:8.3f}")
        first = {row.question.id: (row.first_right, row.our_first) for row in here}
        agreed, beyond = kappa(list(first.values()))
        print(f"{part:12}{'first answers':15}{len(first):8}{agreed:16.3f}{beyond:8.3f}")
        counts = Counter((row.verdict.lower(), row.ours) for row in here)
        for verdict in sorted({verdict for verdict, _ in counts}):
            print(
                f"{'':12}{verdict:15}"
                + "  ".join(f"{ours} {counts[verdict, ours]}" for ours in ("right", "wrong", "none"))
            )
    differing = [row for row in rows if row.part == "half" and (row.ours == "right") != row.right]
    for row in random.Random(0).sample(differing, min(show, len(differing))):
        print(f"\n{row.verdict.lower()}, ours {row.ours}: {row.question.text}\n  right: {row.question.aliases[0]}")
        print(f"  first: {row.first[:150]}\n  then:  {row.reply[:300]}")


def judging_figures(rows: Sequence[Judged]) -> list[Figure]:
    """Agreement and false acceptances of each system, over all answers."""
    found = []
    for system in SYSTEMS:
        chosen = [row for row in rows if row.system == system]
        ours, plain = agreement(chosen, lambda r: r.ours), agreement(chosen, lambda r: r.plain)
        settings = {"system": system, "answers": len(chosen)}
        note = f"a plain rule agrees in {100 * plain['agreement']:.1f}%"
        values = {"against": "human verdicts", "unit": "%", "settings": settings}
        found += [
            Figure(what="judging agrees", value=100 * ours["agreement"], note=note, **values),
            Figure(what="judging accepts what a person rejects", value=100 * ours["false_acceptances"], **values),
        ]
    return found


def span_figures(rows: Sequence[Marked]) -> list[Figure]:
    """Token F1 and exact spans, of all answers."""
    ours, trimmed = span_scores(rows, lambda row: row.ours), span_scores(rows, lambda row: row.trimmed)
    shown = {"against": "the tokens that GPT-4o marked", "settings": {"answers": len(rows)}}
    f1_note, exact_note = f"trimming alone {trimmed['f1']:.3f}", f"trimming alone {100 * trimmed['exact']:.1f}%"
    return [
        Figure(what="answer spans, token F1", value=ours["f1"], unit="", note=f1_note, **shown),
        Figure(what="answer spans, exact", value=100 * ours["exact"], unit="%", note=exact_note, **shown),
    ]


def pushback_figures(rows: Sequence[Pushed]) -> list[Figure]:
    """Agreement on second answers, on both halves of the questions."""
    found = []
    for half in HALVES:
        chosen = [row for row in rows if row.part == half]
        agreed, beyond = kappa([(row.right, row.ours == "right") for row in chosen])
        note = f"kappa {beyond:.3f}" + (", the half that the rules were made on" if half == HALVES[0] else "")
        found.append(
            Figure(
                what=f"second answers agree, {half}",
                against="a language model's verdicts",
                value=100 * agreed,
                unit="%",
                note=note,
                settings={"replies": len(chosen)},
            )
        )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with the cases")
    parser.add_argument("--show", type=int, default=0, help="how many differing cases to print for each table")
    add_json(parser)
    options = parser.parse_args()
    found: list[Figure] = []
    if (people := options.data / "human-judged" / "evouna_tq.json").exists():
        judged = list(judged_by_people(people))
        print_judging(judged, options.show)
        found += judging_figures(judged)
    for path in sorted((options.data / "h-neurons-examples").glob("*answer_tokens*.jsonl")):
        marked = list(marked_by_a_model(path))
        print_spans(marked, options.show)
        found += span_figures(marked)
    for path in sorted((options.data / "ten-samples").glob("*.jsonl")):
        print_samples(path)
    for path in sorted((options.data / "pushback").glob("*.jsonl")):
        pushed = list(after_a_challenge(path))
        print_pushback(pushed, options.show)
        found += pushback_figures(pushed)
    save(options.json, found)


if __name__ == "__main__":
    main()
