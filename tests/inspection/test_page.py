"""Pages escape whatever they show."""

import base64

from hyperinr.inspection.page import render

NAME = '<b>"a" & \'b\'</b>'


def test_titles_names_and_cells_are_escaped_and_pictures_lie_in_the_page(tmp_path):
    content = bytes(range(256))
    page = render(
        tmp_path / 'index.html',
        'sweep.html',
        title=NAME,
        pictures={NAME: content},
        objective=NAME,
        bindings=[NAME],
        rows=[{'number': 0, 'state': 'fail', 'value': None, 'drawn': {NAME: NAME}, 'seconds': 1, 'reason': NAME}],
    )
    text = page.read_text(encoding='utf-8')
    assert '<b>' not in text
    # The title twice, heading and description of the picture, objective, binding and its value, reason.
    assert text.count('&lt;b&gt;&#34;a&#34; &amp; &#39;b&#39;&lt;/b&gt;') == 8
    assert f'src="data:image/png;base64,{base64.b64encode(content).decode()}"' in text
    assert [path.name for path in tmp_path.iterdir()] == ['index.html']


def test_what_a_template_misses_is_an_error_in_its_place_and_no_page(tmp_path):
    import jinja2
    import pytest

    with pytest.raises(jinja2.UndefinedError, match='pictures'):
        render(tmp_path / 'index.html', 'sweep.html', title='a', rows=())
    assert not list(tmp_path.iterdir())
