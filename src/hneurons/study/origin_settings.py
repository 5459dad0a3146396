"""How the base model of a run's model is asked, as one frozen record."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hneurons.errors import RunError
from hneurons.models.registered import RegisteredModel
from hneurons.questions.prompts import PromptFormat
from hneurons.registry import registered
from hneurons.study.config import ModelSettings

BASE_TEMPLATE = "{question}\nAnswer:"
"""How the paper asks a base model (H-Neurons, arXiv 2512.01797, section 6)."""


class OriginSettings(BaseModel):
    """Which base model a run is held against, and how that is asked; the defaults are those of the paper.

    Attributes:
        base: the model that the run's model was tuned from; None where nobody knows.
        prompt: how the base model, or a checkpoint of it, is asked.
        stop: strings that end its responses.
        forward: also fit a probe on the base model, and apply it to the tuned one.
        by: field of a question's `meta` by which growth shows accuracy.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    base: ModelSettings | None = None
    prompt: PromptFormat = PromptFormat(style="plain", template=BASE_TEMPLATE)
    stop: tuple[Annotated[str, Field(min_length=1)], ...] = ("\n",)
    forward: bool = True
    by: str | None = None


def make_origin_settings(
    model: ModelSettings | str,
    *,
    begun: OriginSettings | None = None,
    base: str | None = None,
    revision: str | None = None,
    template: str | None = None,
    forward: bool | None = None,
    by: str | None = None,
    trust_remote_code: bool | None = None,
) -> OriginSettings:
    """Settings from a few overrides, over those that tracing was begun with, or what is known of the run's model.

    What the entry of a registered model says of its base comes before what the base's own entry says of a study on it,
    and that before the paper's way of asking. The base model is loaded in the type and on the device of the run's model
    where nothing else is said; whether its code is trusted is not taken over.

    Args:
        model: the run's model.
        begun: settings of a trace that was begun; the rest is laid over them, and over nothing else.
        base: path or name of the base model.
        revision: of the base model, on the hub.
        template: of the plain prompt, with {question} in it.
        forward: also fit a probe on the base model.
        by: field of a question's `meta` by which growth shows accuracy.
        trust_remote_code: let the base model run code of its own.

    Raises:
        RunError: a field has a value that it cannot have, or a revision is given of no base model.
    """
    chosen = ModelSettings(name=model) if isinstance(model, str) else model
    fields = begun.model_dump(mode="json") if begun is not None else _known(chosen.name)
    loaded = dict(fields.get("base") or {})
    if base is not None and base != loaded.get("name"):
        loaded = {key: value for key, value in loaded.items() if key not in ("revision", "trust_remote_code")}
        loaded["name"] = base
    if begun is None and "name" in loaded:
        entry = registered("hneurons.models").get(loaded["name"])
        own = entry.study if isinstance(entry, RegisteredModel) else {}
        placed = chosen.model_dump(exclude={"name", "revision", "trust_remote_code"}, exclude_none=True)
        loaded = {**placed, **own.get("model", {}), **loaded}
        if "prompt" in own:
            fields.setdefault("prompt", own["prompt"])
        if "stop" in own.get("sampling", {}):
            fields.setdefault("stop", own["sampling"]["stop"])
    over = {"revision": revision, "trust_remote_code": trust_remote_code}
    loaded |= {key: value for key, value in over.items() if value is not None}
    fields["base"] = loaded if "name" in loaded else None
    if revision is not None and fields["base"] is None:
        raise RunError(f"--revision {revision} belongs to a base model; name it with --base")
    if template is not None:
        fields["prompt"] = {"style": "plain", "template": template}
    fields |= {key: value for key, value in {"forward": forward, "by": by}.items() if value is not None}
    try:
        return OriginSettings.model_validate(fields)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the settings"
        raise RunError(f"{where} of tracing: {first['msg']}; correct it and run again") from None


def _known(name: str) -> dict[str, Any]:
    """What a registered model's entry says of its base."""
    entry = registered("hneurons.models").get(name)
    known: Mapping[str, Any] = entry.origin if isinstance(entry, RegisteredModel) else {}
    return dict(known)
