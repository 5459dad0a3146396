"""RESULTS.md: every figure in a table with what it is held against, its goal and whether it is met."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Literal

from figures import Figure, Findings, Record
from machine import Machine

INTRODUCTION = """# Results

Written by `make bench`; not to be edited. How to read it, and what each script does: [README.md](README.md).

Ratios are medians over repeats within one run, with their quartiles in brackets where there are repeats. A goal is met
by the median, whatever the quartiles say.
"""

Status = Literal["done", "failed", "skipped"]


class Outcome(Record):
    """What became of one job.

    Attributes:
        title: what it measures, as a heading.
        script: name of its file.
        status: "failed" and "skipped" have a `reason`, "done" has `findings`.
        reason: one line.
        seconds: how long it took.
        others: share of the cores that other work took meanwhile; None where that is unknown.
        findings: what it found.
    """

    title: str
    script: str
    status: Status
    reason: str = ""
    seconds: float | None = None
    others: float | None = None
    findings: Findings | None = None


QUICK = """
**These are the small settings of a try. They say that the scripts run, and nothing of speed: models are tiny, whatever
a heading says, and what needs a GPU ran on the CPU where there is none.**
"""


def results(outcomes: Sequence[Outcome], call: str, *, quick: bool = False) -> str:
    """The whole page; `call` is the command that all of it was written by, `quick` a try with small settings."""
    done = [outcome for outcome in outcomes if outcome.status == "done"]
    goals = [figure.met for outcome in done if outcome.findings for figure in outcome.findings.figures]
    n_goals, n_met = sum(met is not None for met in goals), sum(met is True for met in goals)
    counted = f"{len(goals)} figures, {n_goals} with a goal, of which {n_met} are met.\n"
    parts = [INTRODUCTION, *[QUICK][:quick], counted]
    parts += [_script(outcome) for outcome in done]
    left = [outcome for outcome in outcomes if outcome.status != "done"]
    if left:
        rows = [[outcome.title, f"`{outcome.script}`", outcome.status, outcome.reason] for outcome in left]
        parts.append("## Not measured\n\n" + table(("what", "script", "", "why"), rows))
    parts += [_machines(done), _commands(done, call)]
    return "\n".join(parts)


def _script(outcome: Outcome) -> str:
    findings = outcome.findings
    if findings is None:
        raise ValueError(f"{outcome.title} is done, but found nothing")
    lines = [f"## {escaped(outcome.title)}\n"]
    for settings, group in groupby(findings.figures, key=lambda figure: figure.settings):
        if settings:
            first = {"model": settings["model"]} if "model" in settings else {}
            shown = (f"{name} {value}" for name, value in (first | settings).items())
            lines.append(escaped("; ".join(shown)) + "\n")
        lines.append(_figures(list(group)))
    return "\n".join(lines)


def _figures(figures: Sequence[Figure]) -> str:
    noted = any(figure.note for figure in figures)
    rows = []
    for figure in figures:
        met = {True: "yes", False: "no", None: ""}[figure.met]
        rows.append([figure.what, figure.against, goal(figure), measured(figure), met, *[figure.note][:noted]])
    return table(("figure", "against", "goal", "measured", "met", *["remark"][:noted]), rows)


def goal(figure: Figure) -> str:
    """The goal in words; "" without one."""
    if figure.at_least is not None:
        return f"at least {figure.at_least:g}"
    return "" if figure.at_most is None else f"at most {figure.at_most:g}"


def measured(figure: Figure) -> str:
    """The value with its unit, and its quartiles."""
    unit = "×" if figure.unit == "times" else figure.unit if figure.unit in ("", "%") else f" {figure.unit}"
    shown = number(figure.value, figure) + unit
    if figure.low is None or figure.high is None:
        return shown
    return f"{shown} [{number(figure.low, figure)}, {number(figure.high, figure)}]"


def number(value: float, figure: Figure) -> str:
    """Three digits, quartiles with as many decimals as their median; a ratio close to one with three decimals."""
    if value == int(value) and figure.unit != "times":
        return f"{int(value):,}"
    if figure.unit == "times" and 0.9 <= figure.value <= 1.1:  # where a hundredth tells
        return f"{value:.3f}"
    size = math.floor(math.log10(abs(figure.value))) if figure.value else 0
    return f"{value:,.{max(0, 2 - size)}f}"


def _machines(done: Sequence[Outcome]) -> str:
    groups: dict[str, tuple[Machine, list[str]]] = {}
    for outcome in done:
        if outcome.findings is not None:
            machine = outcome.findings.machine
            same = machine.model_dump_json(exclude={"date", "threads"})
            groups.setdefault(same, (machine, []))[1].append(outcome.title)
    lines = ["## Machine and versions\n"]
    if len(groups) > 1:
        lines.append("Taken on more than one machine, commit or set of versions:\n")
    for machine, titles in groups.values():
        if len(groups) > 1:
            lines.append(escaped("; ".join(titles)) + ":\n")
        rows = [
            ["processor", f"{machine.cpu}, {machine.cores} {'core' if machine.cores == 1 else 'cores'}"],
            ["memory", "unknown" if machine.memory_gb is None else f"{machine.memory_gb} GB"],
            ["GPU", _gpu(machine)],
            ["system", f"{machine.system}, Python {machine.python}"],
            ["packages", ", ".join(f"{name} {version}" for name, version in machine.packages.items())],
            ["commit", _commit(machine.commit)],
        ]
        lines.append(table(("", ""), rows))
    return "\n".join(lines)


def _gpu(machine: Machine) -> str:
    if machine.gpu is None:
        return "none"
    return f"{machine.gpus} × {machine.gpu}, {machine.gpu_memory_gb} GB"


def _commit(commit: str | None) -> str:
    if commit is None:
        return "unknown"
    return f"{commit.removesuffix('+')}, with changes that are not committed" if commit.endswith("+") else commit


def _commands(done: Sequence[Outcome], call: str) -> str:
    rows = []
    for outcome in done:
        if outcome.findings is not None:
            seconds = "" if outcome.seconds is None else f"{outcome.seconds:.0f}"
            others = "" if outcome.others is None else f"{outcome.others:.0%}"
            machine = outcome.findings.machine
            rows.append([code(outcome.findings.command), machine.date, str(machine.threads), seconds, others])
    total = sum(outcome.seconds or 0 for outcome in done)
    said = (
        f"All of it: {code(call)}, {total / 60:.0f} minutes. *Other work* is the share of the cores that went to "
        "anything else meanwhile: the more, the less a ratio is to be trusted.\n"
    )
    return "## Commands\n\n" + said + "\n" + table(("command", "date", "threads", "seconds", "other work"), rows)


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; whatever its cells hold stays within them."""
    lines = [heads, ["---"] * len(heads), *([escaped(cell) for cell in row] for row in rows)]
    return "".join("| " + " | ".join(cells) + " |\n" for cells in lines)


def code(text: str) -> str:
    """Text as a code span; a backtick in it, which would end the span, becomes an apostrophe."""
    return "`" + " ".join(text.split()).replace("`", "'") + "`"


def escaped(text: str) -> str:
    """Text that Markdown shows as it is, on one line; what stands between backticks is left as code."""
    pieces = re.split(r"(`[^`]+`)", " ".join(text.split()))
    pieces[::2] = map(_plain, pieces[::2])
    pieces[1::2] = (re.sub(r"\\*\|", r"\\|", piece) for piece in pieces[1::2])
    return "".join(pieces)


def _plain(text: str) -> str:
    inert = text.replace("&", "&amp;").replace("<", "&lt;")
    return re.sub(r"([\\|*_`~#>$]|\](?=[(\[:]))", r"\\\1", inert)
