"""A figure as SVG for a page: real text, colours that follow the page's light or dark, nothing from elsewhere."""

from __future__ import annotations

import io
import re
import xml.etree.ElementTree as ET
from dataclasses import asdict

from matplotlib.figure import Figure

from hneurons.report.look import LIGHT, MONO, styled

SVG = "http://www.w3.org/2000/svg"
XLINK = "http://www.w3.org/1999/xlink"
ROLES = {colour: role for role, colour in asdict(LIGHT).items()}
"""Colours of the light palette, in which figures for a page are drawn, by what they stand for."""

_COLOUR = re.compile(r"#[0-9a-fA-F]{6}\b")
_FONT = re.compile(r"font: (?:(?:italic|oblique) )?(?:(bold|\d{3}) )?([\d.]+)px (.+)")
_USE = re.compile(r"url\(#([^)]+)\)")


def to_svg(figure: Figure, name: str, title: str, description: str) -> str:
    """The SVG element of a figure that was drawn in the light palette.

    Colours become `var(--role, #colour)`, so that a style sheet turns them; ids are prefixed with `name`, so that
    several figures live in one page; `title` and `description` are what a screen reader says.

    Raises:
        ValueError: the figure has a colour that is none of the palette's.
    """
    written = io.StringIO()
    with styled():
        figure.savefig(written, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    root = ET.fromstring(written.getvalue())
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag in (f"{{{SVG}}}metadata", f"{{{SVG}}}style"):
                parent.remove(child)
    used = {target for element in root.iter() for value in element.attrib.values() for target in _targets(value)}
    for element in root.iter():
        if element.get("id") not in used:
            element.attrib.pop("id", None)
        _rewrite(element, name)
    for key in ("width", "height", "version"):
        root.attrib.pop(key, None)
    root.set("role", "img")
    root.set("aria-labelledby", f"{name}-title {name}-description")
    for place, (tag, text) in enumerate((("title", title), ("desc", description))):
        told = ET.Element(f"{{{SVG}}}{tag}", {"id": f"{name}-{'title' if tag == 'title' else 'description'}"})
        told.text = text
        root.insert(place, told)
    ET.register_namespace("", SVG)
    return ET.tostring(root, encoding="unicode")


def _targets(value: str) -> list[str]:
    """The ids that an attribute points to."""
    return [value[1:]] if value.startswith("#") else _USE.findall(value)


def _rewrite(element: ET.Element, name: str) -> None:
    for key, value in list(element.attrib.items()):
        if key == "id":
            element.set(key, f"{name}-{re.sub(r'[^A-Za-z0-9_.-]', '_', value)}")
        elif key in (f"{{{XLINK}}}href", "href"):
            del element.attrib[key]
            own = value if value.startswith("data:") else f"#{name}-{value.removeprefix('#')}"  # a picture is no id
            element.set("href", own)
        elif key == "style":
            element.set(key, _style(value))
        else:
            element.set(key, _USE.sub(rf"url(#{name}-\1)", _coloured(value)))


def _style(value: str) -> str:
    return "; ".join(_rule(rule.strip()) for rule in value.split(";") if rule.strip())


def _rule(rule: str) -> str:
    """A rule with the page's colours, and the page's fonts instead of those that the text was measured in."""
    if short := _FONT.fullmatch(rule):  # matplotlib before 3.11
        weight, size, families = short.groups()
        return f"font-size: {size}px; font-weight: {weight or 400}; {_families(families)}"
    if rule.startswith("font-family:"):
        return _families(rule.removeprefix("font-family:"))
    return _coloured(rule)


def _families(value: str) -> str:
    mono = value.strip(" '\"").startswith(MONO)
    return f"font-family: var(--{'mono, monospace' if mono else 'sans, sans-serif'})"


def _coloured(value: str) -> str:
    def role(found: re.Match[str]) -> str:
        colour = found.group().lower()
        if colour not in ROLES:
            raise ValueError(f"{colour} is no colour of the palette; figures keep to it to follow light and dark")
        return f"var(--{ROLES[colour]}, {colour})"

    return _COLOUR.sub(role, value)
