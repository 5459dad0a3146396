"""The report: one HTML file with everything in it, and nothing fetched from anywhere."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

from jinja2 import Environment
from markupsafe import Markup

from hneurons.files import write_text
from hneurons.probes.probe import Probe, Provenance
from hneurons.report import numbers, views
from hneurons.report.figures import illustrations
from hneurons.report.layers.attention.views import ATTENTION_VIEWS
from hneurons.report.layers.causality.views import CAUSALITY_VIEWS
from hneurons.report.layers.comparison.views import COMPARISON_VIEWS
from hneurons.report.layers.concepts import views as concepts_views
from hneurons.report.layers.confidence import views as confidence_views
from hneurons.report.layers.mitigation import views as mitigation_views
from hneurons.report.layers.parts import parts_shown
from hneurons.report.layers.tracking import views as tracking_views
from hneurons.report.origin import growth_views
from hneurons.report.origin import views as origin_views
from hneurons.report.origin.reading import base_name, directions, transfer_sets, tuned_name
from hneurons.report.origin.sentences import missing_sentences, origin_sentences, set_sentences
from hneurons.report.origin.steps import growth_sets
from hneurons.report.page import POLICY, make_environment
from hneurons.report.reading import CUT, controls, detection, eval_sets, faithful_from, landmarks, ranked, set_names
from hneurons.report.sentences import addition_sentence, summary, verdicts
from hneurons.report.sweep import views as sweep_views
from hneurons.report.sweep.reading import gated
from hneurons.report.sweep.sentences import sweep_summary, trait_sentence, verdict_sentences
from hneurons.report.wording import in_words
from hneurons.study.evaluating import RANDOM
from hneurons.study.results import Results, read_results
from hneurons.study.run import Run


def write_report(run: Run) -> Path:
    """Write `report.html` of a run whose `results.json` is there; returns its path.

    Raises:
        CorruptRunError: results.json or the probe cannot be read.
    """
    page = render(read_results(run), Probe.load(run.probe).card.provenance)
    write_text(run.report, page)
    return run.report


def render(results: Results, provenance: Provenance | None = None) -> str:
    """The report as HTML; all text of models and questions is escaped."""
    return _environment().get_template("report.html").render(
        results=results,
        provenance=provenance,
        policy=POLICY,
        figures={name: (each, Markup(each.svg())) for name, each in illustrations(results).items()},
        sets=eval_sets(results),
        names=set_names(results),
        summary=summary(results),
        config=json.dumps(results.config, indent=2, ensure_ascii=False),
        cut=CUT,
        random_neurons=RANDOM,
        layer_parts=parts_shown(results.layers) if results.layers else [],
    )  # fmt: skip


@cache
def _environment() -> Environment:
    environment = make_environment()
    environment.filters.update(
        {name: getattr(numbers, name) for name in ("count", "decimal", "percent", "regular", "estimate", "address")},
        difference=numbers.difference,
        words=in_words,
    )
    environment.globals.update(
        counted=numbers.counted,
        spread=numbers.spread,
        percent_estimate=numbers.percent_estimate,
        percent_spread=numbers.percent_spread,
        views=views,
        ranked=ranked,
        detection=detection,
        landmarks=landmarks,
        faithful_from=faithful_from,
        controls=controls,
        addition_sentence=addition_sentence,
        verdicts=verdicts,
        sweep_views=sweep_views,
        gated=gated,
        sweep_summary=sweep_summary,
        trait_sentence=trait_sentence,
        verdict_sentences=verdict_sentences,
        listed=numbers.listed,
        concepts_views=concepts_views,
        confidence_views=confidence_views,
        mitigation_views=mitigation_views,
        tracking_views=tracking_views,
        origin_views=origin_views,
        growth_views=growth_views,
        origin_sentences=origin_sentences,
        set_sentences=set_sentences,
        missing_sentences=missing_sentences,
        directions=directions,
        transfer_sets=transfer_sets,
        growth_sets=growth_sets,
        base_name=base_name,
        tuned_name=tuned_name,
        **ATTENTION_VIEWS,
        **CAUSALITY_VIEWS,
        **COMPARISON_VIEWS,
    )
    return environment
