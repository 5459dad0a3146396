"""What happens when neurons are turned."""

from __future__ import annotations

from hneurons.interventions.scaling import scale

__all__ = ["scale"]
