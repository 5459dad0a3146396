"""Which benchmarks there are, with the arguments that they are run with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Needs = Literal["", "run", "data", "gpu", "ray", "serve"]


@dataclass(frozen=True)
class Job:
    """A script and its arguments.

    Attributes:
        title: heading in RESULTS.md.
        script: name of the file, without ".py".
        full: arguments for figures to be read.
        quick: arguments for a try.
        minutes: about how long `full` takes on two cores; ten minutes and four times as long is too long.
        needs: "run" and "data" stand for `RUN` and `DATA` in its arguments; "gpu", "ray", "serve": skipped without.
        name: of its files, where a script has more than one job; else that of the script.
    """

    title: str
    script: str
    full: str
    quick: str
    minutes: float
    needs: Needs = ""
    name: str = ""

    @property
    def key(self) -> str:
        """What its files are called."""
        return self.name or self.script


JOBS = (
    Job(
        "Recording contributions, Atlas", "extraction", "--model atlas-7m-instruct --items 384 --repeats 5",
        "--model atlas-7m-instruct --items 16 --repeats 2", 2,
    ),
    Job(
        "Recording contributions, 110M parameters", "extraction", "--shape 100m --items 32 --repeats 3 --no-memory",
        "--quick --no-memory", 3, name="extraction-100m",
    ),
    Job(
        "Ten samples a question", "sampling", "--limit 256 --repeats 3",
        "--limit 8 --repeats 2 --max-new-tokens 12", 4,
    ),
    Job(
        "The sparse path against solvers in memory", "path", "--part against --neurons 24576 98304",
        "--part against --neurons 2000 --quick", 10,
    ),
    Job(
        "The sparse path from disk, neurons of a 7B model", "path", "--part scale --neurons 458752",
        "--part scale --neurons 5000 --quick", 12, name="path-scale",
    ),
    Job(
        "Turning neurons, every alpha in one pass", "interventions",
        "--part sweep --prompts 1 8 32 --random-prompts 1 4 --new-tokens 12 --repeats 15", "--part sweep --quick", 4,
        name="interventions-sweep",
    ),
    Job(
        "Turning neurons, time per generated token", "interventions",
        "--part overhead --rows 1 --new-tokens 32 --repeats 12", "--part overhead --quick", 4,
        name="interventions-overhead",
    ),
    Job(
        "Patching every layer and position", "patching", "--repeats 5", "--quick", 3,
    ),
    Job(
        "Drift of two models in their files", "drift", "--gb 1", "--gb 0.05 --repeats 2", 3,
    ),
    Job(
        "Keeping freed memory", "memory", "--passes 16 --repeats 5", "--quick", 2,
    ),
    Job(
        "Sampling from a server", "serving", "--limit 16 --samples 2 --contexts 8 --repeats 3",
        "--limit 4 --samples 2 --contexts 2 --repeats 1", 4, needs="serve",
    ),
    Job(
        "An exported model in plain transformers", "export", "RUN --alphas 0 0.5 1.5 2 3",
        "RUN --alphas 2 --prompts 20", 2, needs="run",
    ),
    Job(
        "Reading position, scheme and scale of the probe", "settings", "RUN", "RUN", 3, needs="run",
    ),
    Job(
        "Quantized weights: contributions and probe", "quantized", "RUN", "RUN --limit 20", 4, needs="run",
    ),
    Job(
        "Rules against people and against language models", "agreement", "DATA", "DATA", 2, needs="data",
    ),
    *(
        Job(
            f"The Ray engine: {part}", "cluster", f"--part {part}", f"--part {part} --questions 64 --repeats 1", 4,
            needs="ray", name=f"cluster-{part}",
        )
        for part in ("overhead", "killed", "dispatch")
    ),
    *(
        Job(
            f"The shape of Llama-3.1-8B on a GPU: {part}", "gpu", f"--part {part}",
            f"--part {part} --items 64 --repeats 2", 3, needs="gpu", name=f"gpu-{part}",
        )
        for part in ("recording", "sampling", "turning", "export")
    ),
)  # fmt: skip
"""In the order in which they run and are shown."""

APART = frozenset(
    {"contributions", "figures", "jobs", "machine", "random_models", "results", "run", "server", "timing", "watching"}
)
"""Files in this folder that measure nothing by themselves."""


def scripts() -> list[str]:
    """Names of the scripts, each once."""
    return list(dict.fromkeys(job.script for job in JOBS))
