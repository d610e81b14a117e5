"""Render templates to HTML: every value is escaped, and an undefined value is an error."""

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
        autoescape=True,  # for every template, whatever its file name: values may come from a partner's files
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
        The template uses a value that was not passed.
    """
    return _environment().get_template(template).render(**values)


def _visible(value: object) -> object:
    """Escape control characters and directional marks, which could make a text look like another one."""
    return value if isinstance(value, Markup) else escape_controls(str(value))
