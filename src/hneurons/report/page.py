"""What all pages share: how templates are filled in, and what a browser may do with the result."""

from __future__ import annotations

from jinja2 import Environment, PackageLoader, StrictUndefined

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
"""Content security policy: whatever a model or a question set has slipped in, nothing runs and nothing is fetched."""


def make_environment() -> Environment:
    """Templates of the package; all that they are given is escaped, and what they miss is an error."""
    return Environment(
        loader=PackageLoader("hneurons.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
