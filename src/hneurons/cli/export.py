"""`hneurons export`: the model of a run with its H-Neurons turned for good, as a Hugging Face directory."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from hneurons.models.fingerprint import ModelFingerprint
    from hneurons.models.stored import StoredModel
    from hneurons.study.config import ModelSettings


def add(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("export")(export)


def export(
    run: Annotated[Path, typer.Argument(help="Run directory, made by `hneurons study`.")],
    alpha: Annotated[float, typer.Option(help="Factor: 0 suppresses the H-Neurons, more than 1 amplifies them.")],
    out: Annotated[Path, typer.Option(help="Directory to make for the edited model.")],
) -> None:
    """Write the model of a run with its H-Neurons scaled by alpha, for any program that loads Hugging Face models.

    Files are copied and the copy is edited, so that a model of any size needs no memory. The original is only read.
    """
    from hneurons.errors import ExportError
    from hneurons.interventions.export import export as write
    from hneurons.models.stored import open_stored
    from hneurons.probes.probe import Probe
    from hneurons.report.export_notes import card_notes
    from hneurons.study.results import read_results
    from hneurons.study.run import Run

    opened = Run.open(run)
    probe = Probe.load(opened.probe)
    if not probe.hneurons:
        raise ExportError(f"the probe in {run} has no neuron of positive weight, so there is nothing to turn")
    settings = opened.config.model
    if settings.quantize is not None:
        raise ExportError(
            f"{run} quantized {settings.name} while loading it ({settings.quantize}), and codes cannot be scaled "
            "neuron by neuron; scale the original weights with hneurons.interventions.export and quantize the result, "
            "or turn the neurons at run time with hneurons.interventions.scale"
        )
    revision = probe.card.model.revision or settings.revision
    stored = open_stored(settings.name, revision=revision, trust_remote_code=settings.trust_remote_code)
    probe.require(_fingerprint(stored, settings))
    results = read_results(opened) if opened.results.exists() else None
    report = write(
        stored,
        probe.hneurons,
        alpha,
        out,
        trust_remote_code=settings.trust_remote_code,
        notes=card_notes(probe, results, alpha),
    )
    auto = "AutoModelForImageTextToText" if stored.anatomy.wrapper else "AutoModelForCausalLM"
    rounding = f"largest relative rounding error {report.rounding:.2g}" if report.rounding else "exact, nothing rounded"
    typer.echo(f"{len(report.neurons)} neurons in {len(report.edited)} layers scaled by {alpha:g}; {rounding}")
    if report.left_out:
        typer.echo(f"left out {', '.join(report.left_out)}")
    typer.echo(f"model    {out}")
    typer.echo(f"load it  transformers.{auto}.from_pretrained({str(out)!r})")


def _fingerprint(stored: StoredModel, settings: ModelSettings) -> ModelFingerprint:
    """What identifies the model that the run's settings load: told from its files, or else by loading it."""
    found = stored.fingerprint(settings.dtype)
    if found is not None:
        return found
    from hneurons.models.load import load
    from hneurons.progress import console

    console.print(f"the files of {stored.name} do not tell its fingerprint; loading the model", markup=False)
    return load(settings.name, **{**settings.arguments, "revision": stored.revision}).fingerprint
