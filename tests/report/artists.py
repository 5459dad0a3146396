"""What is drawn, by the names that figures give their marks."""

from __future__ import annotations

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure


def marks(place: Axes | Figure, name: str) -> list[Artist]:
    """All marks of that name."""
    return place.findobj(lambda artist: artist.get_gid() == name)


def only(place: Axes | Figure, name: str) -> Artist:
    """The one mark of that name."""
    (found,) = marks(place, name)
    return found
