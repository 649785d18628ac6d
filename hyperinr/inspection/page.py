"""HTML pages that need no other file: the templates beside this file, filled and escaped by jinja2."""

import base64
import os
from pathlib import Path
from typing import Any

import jinja2

from hyperinr.runtime.files import replacing

__all__ = ['render']

TEMPLATES = jinja2.Environment(
    loader=jinja2.PackageLoader('hyperinr.inspection'),
    autoescape=True,
    trim_blocks=True,
    lstrip_blocks=True,
)
TEMPLATES.filters['base64'] = lambda content: base64.b64encode(content).decode()


def render(path: str | os.PathLike, template: str, **values: Any) -> Path:
    """Writes a page, whole or not at all.

    Args:
      path: of the page.
      template: a file of ``templates/``.
      values: that the template names, ``title`` among them; text is escaped, ``pictures`` are PNG bytes by name.

    Returns:
      The page.

    Raises:
      InputError: no permission to write.
      RunError: the disk is full.
    """
    with replacing(path) as temporary:
        temporary.write_text(TEMPLATES.get_template(template).render(values), encoding='utf-8')
    return Path(path)
