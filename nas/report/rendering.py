"""HTML from `templates/`, which escape whatever they are given: names of classes, runs and models are their users' own.

Unescaped stays what is `Markup` already: the charts of this package, which escape each word that they draw.
"""

from __future__ import annotations

from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup


def render(template: str, **values: object) -> Markup:
    """The template called `template` with `values`; one that it names and is not given is an error."""
    return Markup(_environment().get_template(template).render(values))


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("nas.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
