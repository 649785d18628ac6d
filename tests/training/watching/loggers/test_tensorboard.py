import struct

import numpy as np

from hyperinr.training.watching.loggers import tensorboard
from tests.training.watching.loggers.facts import FINDINGS, make_facts, make_record


def events(directory):
    """Of every event file, in order: each record is a length, a checksum of it, the event, a checksum of that."""
    from tensorboardX.proto.event_pb2 import Event

    for path in sorted(directory.iterdir()):
        data = path.read_bytes()
        while data:
            (size,) = struct.unpack('<Q', data[:8])
            yield Event.FromString(data[12 : 12 + size])
            data = data[size + 16 :]


def written(folder, **options):
    """Values by tag, with their step, of one record."""
    board = tensorboard(**options).open(make_facts(folder))
    board.write(make_record())
    board.close()
    found = {}
    for event in events(folder / 'tensorboard'):
        for value in event.summary.value:
            found[value.tag] = (event.step, value)
    return found


def hyperparameters(value):
    from tensorboardX.proto.plugin_hparams_pb2 import HParamsPluginData

    return HParamsPluginData.FromString(value.metadata.plugin_data.content)


def test_scalars_pictures_and_histograms(tmp_path):
    found = written(tmp_path)
    step, scalar = found['validation/psnr_db']
    assert (step, scalar.simple_value) == (4, 31.5)
    image = found['validation/grid'][1].image
    assert (image.height, image.width) == (4, 5)
    histogram = found['validation/rates'][1].histo
    assert (histogram.num, histogram.sum) == (len(FINDINGS.histograms['rates']), 3.0)
    assert (histogram.min, histogram.max) == (0.5, 2.0)


def test_hyperparameters_are_columns_beside_the_figures_of_the_evaluators(tmp_path):
    found = written(tmp_path)
    columns = hyperparameters(found['_hparams_/experiment'][1]).experiment
    assert [info.name.tag for info in columns.metric_infos] == ['validation/psnr_db']
    values = hyperparameters(found['_hparams_/session_start_info'][1]).session_start_info.hparams
    assert values['siren.width'].number_value == 64
    assert values['experiment.inr'].string_value == '@inrs.siren'
    assert '_hparams_/session_end_info' in found


def test_what_is_switched_off_is_not_written(tmp_path):
    found = written(tmp_path, images=False, histograms=False, hyperparameters=False)
    assert sorted(found) == ['validation/bad', 'validation/psnr_db']


def test_events_of_a_killed_session_are_hidden(tmp_path):
    from tensorboardX.proto.event_pb2 import SessionLog

    board = tensorboard().open(make_facts(tmp_path, start=6))
    board.close()
    marks = [event for event in events(tmp_path / 'tensorboard') if event.session_log.status == SessionLog.START]
    assert [mark.step for mark in marks] == [7]
    assert np.isfinite(marks[0].wall_time)
