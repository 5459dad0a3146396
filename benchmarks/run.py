"""Run every benchmark, one process after another, and write what they found into RESULTS.md: `make bench`.

    python benchmarks/run.py                              # about half an hour on two cores
    python benchmarks/run.py --quick                      # minutes, to see that all of it runs; its own RESULTS.md
    python benchmarks/run.py --only extraction path       # some scripts; what the others found before is kept
    python benchmarks/run.py --data DIR --run runs/mine   # human verdicts; the run whose neurons are exported

What is written lies in runs/bench (`--work`): figures as JSON, and all that the scripts said as .log. A job whose
figures are there is not run again, so the same command goes on where it stopped; `--fresh` runs all of them anew. A job
that fails is reported, and the others still run. On a machine with a GPU there is one more: a model of the shape of
Llama-3.1-8B.
"""

from __future__ import annotations

import argparse
import importlib.util
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from figures import Findings, read
from hneurons.files import read_json, write_json, write_text
from jobs import JOBS, Job, scripts
from results import Outcome, results
from server import MISSING, can_serve
from watching import watched

HERE = Path(__file__).resolve().parent


def main() -> None:
    """Run what is to be run, and write RESULTS.md."""
    args = parse()
    unknown = set(args.only) - {job.script for job in JOBS}
    if unknown:
        raise SystemExit(f"there is no benchmark {sorted(unknown)[0]}; choose from {', '.join(scripts())}")
    folder = args.work / ("quick" if args.quick else "full")
    folder.mkdir(parents=True, exist_ok=True)
    outcomes = []
    for place, job in enumerate(JOBS, 1):
        chosen = not args.only or job.script in args.only
        print(f"[{place}/{len(JOBS)}] {job.key}", end=" ", flush=True)
        outcomes.append(outcome := one(job, folder, args, chosen))
        print({"done": "", "failed": "FAILED: ", "skipped": "skipped: "}[outcome.status] + said(outcome), flush=True)
    call = shlex.join(["python", "benchmarks/run.py", *sys.argv[1:]])
    write_text(args.out, results(outcomes, call, quick=args.quick))
    failed = [outcome for outcome in outcomes if outcome.status == "failed"]
    print(f"{args.out}: {sum(o.status == 'done' for o in outcomes)} of {len(JOBS)} measured, {len(failed)} failed")
    if failed:
        raise SystemExit(1)


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small settings, for a try; writes its own RESULTS.md")
    parser.add_argument("--fresh", action="store_true", help="run again what has been run")
    parser.add_argument("--only", nargs="+", default=[], metavar="SCRIPT", help="these scripts alone")
    parser.add_argument("--data", type=Path, help="folder with answers that people judged; see agreement.py")
    parser.add_argument(
        "--run", type=Path, help="finished run whose neurons are exported [runs/demo, or one made here]"
    )
    parser.add_argument("--work", type=Path, default=Path("runs/bench"), help="where figures and logs are kept")
    parser.add_argument("--out", type=Path, help="the page [benchmarks/RESULTS.md; with --quick in the work folder]")
    args = parser.parse_args(arguments)
    if args.out is None:
        args.out = args.work / "quick" / "RESULTS.md" if args.quick else HERE / "RESULTS.md"
    return args


def one(job: Job, folder: Path, args: argparse.Namespace, chosen: bool) -> Outcome:
    """Run one job, unless it cannot run here or its figures are there already."""
    shown = {"title": job.title, "script": f"{job.script}.py"}
    own, log = folder / f"{job.key}.json", folder / f"{job.key}.log"
    if missing := lacking(job, args):
        return Outcome(**shown, status="skipped", reason=missing)
    if not chosen and not own.exists():
        return Outcome(**shown, status="skipped", reason="not asked for, and not run before")
    try:
        arguments = filled(job, args, folder)
    except RuntimeError as error:
        return Outcome(**shown, status="failed", reason=str(error))
    found = finished(own, arguments) if chosen and not args.fresh else None
    if chosen and found is None:
        own.unlink(missing_ok=True)
        print("" if args.quick else f"(about {job.minutes:g} min)", end=" ", flush=True)
        command = [sys.executable, str(HERE / f"{job.script}.py"), *arguments, "--json", str(own)]
        taken = watched(command, log, limit=600 + 4 * 60 * job.minutes)
        if taken.problem:
            own.unlink(missing_ok=True)
            return Outcome(**shown, status="failed", reason=f"{taken.problem} ({log})", seconds=taken.seconds)
        write_json(own.with_suffix(".took.json"), {"seconds": taken.seconds, "others": taken.others})
    found = finished(own, arguments)
    if not chosen and found is None:
        return Outcome(**shown, status="skipped", reason="not asked for, and run before with other arguments")
    if found is None or not found.figures:
        return Outcome(**shown, status="failed", reason=f"it wrote no figures that can be read ({log})")
    return Outcome(**shown, status="done", findings=found, **read_json(own.with_suffix(".took.json")))


def finished(file: Path, arguments: Sequence[str]) -> Findings | None:
    """The figures of an earlier run with the same arguments; None where there are none."""
    try:
        found = read(file)
    except (OSError, ValueError):
        return None
    same = found.command == shlex.join(["python", f"benchmarks/{found.script}", *arguments])
    return found if same and file.with_suffix(".took.json").exists() else None


def lacking(job: Job, args: argparse.Namespace) -> str:
    """Why a job cannot run here; "" if it can."""
    if job.needs == "data" and args.data is None:
        return "it needs answers that people judged: make bench DATA=folder"
    if job.needs == "data" and not args.data.is_dir():
        return f"there is no folder {args.data}"
    if job.needs == "gpu" and not torch.cuda.is_available() and not args.quick:
        return "there is no GPU here"
    if job.needs == "ray" and importlib.util.find_spec("ray") is None:
        return "Ray is not installed: pip install 'hneurons[ray]'"
    if job.needs == "serve" and not can_serve():
        return MISSING
    return ""


def filled(job: Job, args: argparse.Namespace, folder: Path) -> list[str]:
    """The arguments, with the run and the data in their places; a run is made where there is none."""
    words = shlex.split(job.quick if args.quick else job.full)
    if job.needs == "gpu" and not torch.cuda.is_available():
        words += ["--shape", "tiny", "--device", "cpu"]
    places = {"DATA": str(args.data)}
    if job.needs == "run":
        places["RUN"] = str(args.run or studied(folder, args.quick))
    return [places.get(word, word) for word in words]


def studied(folder: Path, quick: bool) -> Path:
    """A finished run: that of the demo, or a study of the bundled model that is made here.

    Raises:
        RuntimeError: the study failed.
    """
    demo = Path("runs/demo")
    if (demo / "results.json").exists():
        return demo
    path = folder / "study"
    if not (path / "results.json").exists():
        print("(a study first)", end=" ", flush=True)
        command = [sys.executable, "-m", "hneurons.cli", "study", "--model", "atlas-7m-instruct", "--out", str(path)]
        taken = watched(command + (["--limit", "1500"] if quick else []), folder / "study.log", 3600)
        if taken.problem:
            raise RuntimeError(f"its run could not be made: {taken.problem}")
    return path


def said(outcome: Outcome) -> str:
    """One line for the terminal."""
    if outcome.status != "done" or outcome.findings is None:
        return outcome.reason
    goals = [figure.met for figure in outcome.findings.figures if figure.met is not None]
    met = f", {sum(goals)} of {len(goals)} goals met" if goals else ""
    return f"{outcome.seconds or 0:.0f} s, {len(outcome.findings.figures)} figures{met}"


if __name__ == "__main__":
    main()
