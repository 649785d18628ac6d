"""Write HTML pages that need no other file. jinja2 fills and escapes the templates beside this file."""

import base64
import os
from pathlib import Path
from typing import Any

import jinja2

from hyperinr.runtime.outputs import replacing_output

__all__ = ['render']

TEMPLATES = jinja2.Environment(
    loader=jinja2.PackageLoader('hyperinr.inspection'),
    autoescape=True,
    trim_blocks=True,
    lstrip_blocks=True,
)
TEMPLATES.filters['base64'] = lambda content: base64.b64encode(content).decode()


def render(path: str | os.PathLike, template: str, **values: Any) -> Path:
    """Write a page atomically.

    Args:
      path: path of the page.
      template: a file of ``templates/``.
      values: the template's values, among them ``title``. Text is escaped; ``pictures`` are PNG bytes by name.

    Returns:
      The path.

    Raises:
      InputError: there is no permission to write, or another program wrote ``path``.
      RunError: the disk is full.
    """
    with replacing_output(path) as temporary:
        temporary.write_text(TEMPLATES.get_template(template).render(values), encoding='utf-8')
    return Path(path)
