import io
import json
import struct

import numpy as np
import pytest
from rich.console import Console

from hyperinr.errors import RunError
from hyperinr.training.logs import MetricsFile, ProgressReport, TensorBoard, duration, print_table


def records(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_metrics_are_on_the_disk_at_once_and_valid_json(tmp_path):
    log = MetricsFile(tmp_path / 'metrics.jsonl', after_step=0)
    log.write(3, {'loss': np.float32(0.5), 'psnr_db': np.array([1.0, np.inf]), 'kind': 'train', 'bad': float('nan')})
    expected = {'step': 3, 'loss': 0.5, 'psnr_db': [1.0, None], 'kind': 'train', 'bad': None}
    assert records(tmp_path / 'metrics.jsonl') == [expected]
    log.close()


def test_resuming_drops_later_steps_and_a_line_cut_short(tmp_path):
    path = tmp_path / 'metrics.jsonl'
    path.write_text('{"step": 1}\n{"step": 2}\n{"step": 3}\n{"st')
    log = MetricsFile(path, after_step=2)
    log.write(3, {'again': 1})
    log.close()
    assert records(path) == [{'step': 1}, {'step': 2}, {'step': 3, 'again': 1}]


def test_a_file_that_cannot_grow_is_one_clear_line(tmp_path, file_size_limit):
    log = MetricsFile(tmp_path / 'metrics.jsonl', after_step=0)
    with file_size_limit(10), pytest.raises(RunError, match=r'metrics\.jsonl'):
        log.write(1, {'loss': 0.5})
    log.close()


def test_away_from_a_terminal_a_report_is_one_plain_line_with_rate_and_time_left():
    out = io.StringIO()
    with ProgressReport(start=0, total=100, console=Console(file=out, width=20)) as progress:
        progress.advance(19)
        progress.report(20, step_seconds=0.5, metrics={'loss': 0.125, 'psnr_db': 31.25})
    assert out.getvalue() == 'step 20/100  2.00 steps/s, 0:40 left  loss 0.125  psnr_db 31.25\n'


def test_a_terminal_gets_a_bar_with_rate_and_time_left():
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=120)
    with ProgressReport(start=0, total=100, console=console) as progress:
        progress.report(20, step_seconds=0.5, metrics={'loss': 0.125})
    assert '20/100' in out.getvalue()
    assert '2.00 steps/s, 0:40 left' in out.getvalue()


@pytest.mark.parametrize(('seconds', 'text'), [(0, '0:00'), (59.6, '1:00'), (125, '2:05'), (3723, '1:02:03')])
def test_duration(seconds, text):
    assert duration(seconds) == text


def test_the_table_holds_its_rows():
    out = io.StringIO()
    print_table('runs/demo', [('mean step', '12.0 ms')], Console(file=out, width=60))
    assert 'runs/demo' in out.getvalue()
    assert '12.0 ms' in out.getvalue()


def events(directory):
    """Of every event file, in order: each record is a length, a checksum of it, the event, a checksum of that."""
    from tensorboardX.proto.event_pb2 import Event

    for path in sorted(directory.iterdir()):
        data = path.read_bytes()
        while data:
            (size,) = struct.unpack('<Q', data[:8])
            yield Event.FromString(data[12 : 12 + size])
            data = data[size + 16 :]


def test_tensorboard_gets_scalars_and_pictures(tmp_path):
    board = TensorBoard(tmp_path / 'board', after_step=0)
    board.scalars(4, {'train/loss': 0.5})
    board.pictures(4, 'validation/pictures', np.zeros((2, 3, 6, 5, 1), np.float32))
    board.close()
    values = {value.tag: (event.step, value) for event in events(tmp_path / 'board') for value in event.summary.value}
    step, loss = values['train/loss']
    assert (step, loss.simple_value) == (4, 0.5)
    image = values['validation/pictures'][1].image
    assert (image.height, image.width) == (12, 15)


def test_tensorboard_writes_nothing_when_off(tmp_path):
    board = TensorBoard(None, after_step=0)
    board.scalars(1, {'loss': 1.0})
    board.close()
    assert list(tmp_path.iterdir()) == []
