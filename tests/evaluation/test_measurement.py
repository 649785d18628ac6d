"""Measuring a way of fitting."""

import numpy as np
from skimage.metrics import structural_similarity

from hyperinr.evaluation import measurement


def reference_ssim(image, original):
    return structural_similarity(
        image, original, channel_axis=-1, data_range=1.0, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
    )


def test_ssim_looks_at_the_unpadded_rectangle_only():
    rng = np.random.default_rng(0)
    original = rng.uniform(0, 1, (20, 24, 3)).astype(np.float32)
    image = np.clip(original + rng.normal(0, 0.1, original.shape), 0, 1).astype(np.float32)
    weight = np.zeros((20, 24), np.float32)
    weight[3:19, 2:22] = 0.5
    damaged = np.where(weight[..., None] > 0, image, 7.0).astype(np.float32)
    found = measurement.masked_ssim(np.stack([image, damaged, original]), original, weight, data_range=(0.0, 1.0))
    np.testing.assert_allclose(found[0], found[1])
    np.testing.assert_allclose(found[2], 1, rtol=1e-5)
    assert 0 < found[0] < 1
    full = measurement.masked_ssim(image[None], original, np.ones_like(weight), data_range=(0.0, 1.0))
    np.testing.assert_allclose(full[0], reference_ssim(image, original), atol=1e-4)


def test_ssim_of_less_than_a_window_is_not_a_number():
    image = np.zeros((1, 20, 20, 1), np.float32)
    weight = np.zeros((20, 20), np.float32)
    weight[:10] = 1
    assert np.isnan(measurement.masked_ssim(image, image[0], weight, data_range=(0.0, 1.0))).all()
