"""Templates to HTML: every value is escaped, and a template that names what it was not given fails."""

from __future__ import annotations

import functools
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from pipeline.model.text import escape_controls


@functools.cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("pipeline_cli.report"),
        autoescape=True,  # what a partner wrote is text, in any template whatever its name
        finalize=_visible,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def render(template: str, **values: Any) -> str:
    """Return a page as HTML.

    Raises
    ------
    jinja2.UndefinedError
        The template names a value that it was not given.
    """
    return _environment().get_template(template).render(**values)


def _visible(value: object) -> object:
    """Write control characters and marks of direction as escapes: they could make a page read otherwise than it is."""
    return value if isinstance(value, Markup) else escape_controls(str(value))
