"""HTML and SVG from small functions that escape by default."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from importlib import resources
from string import Template


class Markup(str):
    """Text that is safe to place in a page as it is; any other string is escaped."""

    __slots__ = ()


def element(name: str, *children: str, **attributes: object) -> Markup:
    """Build an element, `element("td", "a < b", class_="n")`.

    A trailing underscore of an attribute is dropped and others become hyphens; an attribute that
    is None is left out.
    """
    words = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(str(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    return Markup(f"<{name}{words}>{join(children)}</{name}>")


def join(children: Iterable[str]) -> Markup:
    """Put pieces together, escaping those that are not markup."""
    return Markup("".join(c if isinstance(c, Markup) else escape(c) for c in children))


def table(head: Iterable[str], rows: Iterable[Iterable[str]], **attributes: object) -> Markup:
    """Build a table whose first column heads its rows."""
    body = []
    for first, *rest in rows:
        body.append(
            element("tr", element("th", first, scope="row"), *(element("td", c) for c in rest))
        )
    top = element("tr", *(element("th", title, scope="col") for title in head))
    return element("table", element("thead", top), element("tbody", *body), **attributes)


def page(title: str, body: Markup) -> str:
    """A whole page in the style of the reports, with nothing outside it."""
    frame = (resources.files(__package__) / "report.html").read_text(encoding="utf-8")
    return Template(frame).substitute(title=escape(title), body=body)
