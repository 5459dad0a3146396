"""Question sets by name or from a file."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path
from typing import Literal, get_args

from hneurons.errors import QuestionSetError
from hneurons.questions.hub import CONFIGURATION, LICENCE, REPOSITORY, dataset_rows, trivia_qa_files
from hneurons.questions.layouts import questions_from
from hneurons.questions.question import Question, QuestionSet, Split
from hneurons.questions.rows import FORMATS, read_rows
from hneurons.registry import registered


def load_questions(
    name_or_path: str | Path,
    *,
    split: Split = "train",
    limit: int | None = None,
    seed: int = 0,
    revision: str | None = None,
) -> QuestionSet:
    """Load a question set.

    Args:
        name_or_path: a registered name such as "atlas/cities"; "trivia_qa" (TriviaQA rc.nocontext from the Hugging Face
            hub); or a file: `.jsonl` in our own layout (id, question, aliases; optionally answerable, kind, group,
            meta), `.jsonl` or `.parquet` in the layout in which TriviaQA is published on the hub, or TriviaQA's own
            `.json`.
        split: which part. A file has no parts: it is taken whole, and `split` records what it is.
        limit: at most so many questions, sampled by `sample_questions`.
        seed: of the sample.
        revision: commit, tag or branch on the hub; for "trivia_qa" only, where a fixed commit is the default.

    Returns:
        The questions in the order of the source; `left_out` counts what the source has beyond them.

    Raises:
        QuestionSetError: nothing of that name, no such file, a malformed one (file, line and field are named), or no
            network.
    """
    if split not in get_args(Split):
        raise QuestionSetError(f"there is no split {split!r}; use one of {', '.join(get_args(Split))}")
    if limit is not None and limit < 1:
        raise QuestionSetError(f"a limit of {limit} leaves no questions; give at least 1, or none for all")
    if revision is not None and name_or_path != "trivia_qa":
        raise QuestionSetError(f"{name_or_path} has no revisions (trivia_qa has); leave the revision out")
    return _limited(_whole(name_or_path, split, revision), limit, seed)


def sample_questions(questions: Sequence[Question], n: int, seed: int) -> tuple[Question, ...]:
    """Sample `n` questions (all, if there are fewer) without replacement, in their original order.

    The sample is made of the ids with the smallest SHA-256 of (seed, id), so it depends neither on the order of the
    questions nor, but for those it replaces, on questions added later.
    """
    chosen = sorted(questions, key=lambda question: rank(question.id, seed))[:n]
    kept = {question.id for question in chosen}
    return tuple(question for question in questions if question.id in kept)


def rank(question_id: str, seed: int) -> bytes:
    """What `sample_questions` orders ids by."""
    return hashlib.sha256(f"sample\0{seed}\0{question_id}".encode()).digest()


def _whole(name_or_path: str | Path, split: Split, revision: str | None) -> QuestionSet:
    path = Path(name_or_path)
    is_name = isinstance(name_or_path, str) and path.suffix.lower() not in FORMATS
    if name_or_path == "trivia_qa":
        return _trivia_qa(split, revision)
    if is_name and (load := registered("hneurons.questions").get(str(name_or_path))) is not None:
        found: QuestionSet = load(split)
        return found
    if is_name and not path.exists():
        names = [*sorted(registered("hneurons.questions")), "trivia_qa"]
        close = difflib.get_close_matches(str(name_or_path), names, n=1)
        meant = f"; is {close[0]!r} meant?" if close else f"; there are {', '.join(names)}"
        raise QuestionSetError(f"{str(name_or_path)!r} is neither a known question set nor a file{meant}")
    questions, left_out = questions_from(read_rows(path), str(path))
    return QuestionSet(name=path.stem, split=split, questions=questions, source=str(path), left_out=left_out)


def _trivia_qa(split: Split, revision: str | None) -> QuestionSet:
    parts: tuple[Literal["train", "validation"], ...] = ("train", "validation") if split == "all" else (split,)
    found = {part: trivia_qa_files(part, revision) for part in parts}
    commits = {commit for _, commit in found.values()}
    if len(commits) > 1:  # a branch that moved between the two downloads
        raise QuestionSetError(f"{REPOSITORY} changed while it was loaded; load it again, or give a commit as revision")
    rows: Iterable[tuple[str, dict[str, object]]] = chain.from_iterable(
        dataset_rows(files, f"{REPOSITORY} {part}") for part, (files, _) in found.items()
    )
    questions, left_out = questions_from(rows, REPOSITORY)
    return QuestionSet(
        name="trivia_qa",
        split=split,
        questions=questions,
        source=f"{REPOSITORY} ({CONFIGURATION})",
        revision=commits.pop(),
        licence=LICENCE,
        left_out=left_out,
    )


def _limited(whole: QuestionSet, limit: int | None, seed: int) -> QuestionSet:
    if limit is None or limit >= len(whole):
        return whole
    left_out = {**whole.left_out, "questions_beyond_the_limit": len(whole) - limit}
    return whole.model_copy(update={"questions": sample_questions(whole.questions, limit, seed), "left_out": left_out})
