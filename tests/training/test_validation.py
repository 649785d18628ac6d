import jax
import numpy as np
import pytest

from hyperinr import metrics
from hyperinr.errors import InputError
from hyperinr.training.validation import validator
from tests.training.tiny_run import SHAPE, tiny_dataset
from tests.training.toy import toy_learner


@pytest.mark.parametrize('count', [1, 8])
def test_validation_is_the_mean_psnr_over_datapoints_on_any_number_of_devices(eight_devices, count):
    dataset = tiny_dataset()
    learner, source = toy_learner(dataset.spec), dataset.splits['validation']
    params = learner.init(jax.random.key(0), source[0]).params
    devices = eight_devices[:count]
    validate = validator(learner, source, dataset.spec, num_datapoints=3, devices=devices)
    found = validate(params)
    expected, pictures = [], []
    for position in (0, 2, 5):
        datapoint = source[position]
        values = np.asarray(learner.inr.apply(learner.generate(params, datapoint), datapoint.coords))
        expected.append(float(metrics.psnr(values, datapoint.values, data_range=(0.0, 1.0))))
        pictures.append(np.clip(np.stack([datapoint.values, values, values]), 0, 1).reshape(3, *SHAPE, 3))
    np.testing.assert_allclose(found.psnr_db, [np.mean(expected)], rtol=1e-5)
    np.testing.assert_allclose(found.pictures, pictures, atol=1e-6)


def test_scattered_points_give_no_pictures(eight_devices):
    dataset = tiny_dataset()
    spec = dataset.spec._replace(grid_shape=None)
    learner, source = toy_learner(spec), dataset.splits['validation']
    devices = eight_devices[:1]
    validate = validator(learner, source, spec, num_datapoints=2, devices=devices)
    params = learner.init(jax.random.key(0), source[0]).params
    assert validate(params).pictures is None


def test_nothing_to_validate_on_is_refused(eight_devices):
    dataset = tiny_dataset()
    with pytest.raises(InputError, match='num_validation is 0'):
        validator(
            toy_learner(dataset.spec),
            dataset.splits['validation'],
            dataset.spec,
            num_datapoints=0,
            devices=eight_devices,
        )
