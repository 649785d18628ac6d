"""Images of noise, from which a start for natural images can be learned."""

import numpy as np

from hyperinr.annotations import checked
from hyperinr.arguments import check_not_negative, check_positive
from hyperinr.datasets.arguments import check_channels, check_counts, check_resolution
from hyperinr.datasets.base import Dataset
from hyperinr.datasets.image_source import Images, Record, image_dataset

__all__ = ['noise_images']


@checked
def noise_images(
    *,
    resolution: tuple[int, int] = (32, 32),
    exponent: float = 1.0,
    contrast: float = 0.2,
    channels: int = 3,
    num_train: int = 4096,
    num_validation: int = 256,
    num_test: int = 256,
    seed: int = 0,
    data_dir: str | None = None,
) -> Dataset:
    """Make a dataset of random images whose amplitude spectrum falls as ``1 / frequency ** exponent``.

    Baradad, Wulff, Wang, Isola and Torralba, "Learning to see by looking at noise" (2021), show that features trained
    on such images are useful for real ones. Photographs have an exponent of 1: Field, "Relations between the statistics
    of natural images and the response properties of cortical cells" (1987). With an exponent of 0 the noise is white,
    and each value is uniform in [0, 1].

    Args:
      resolution: ``(height, width)``, pixels.
      exponent: exponent of the amplitude spectrum, >= 0; 0 is uniform noise.
      contrast: standard deviation around the middle grey before clipping to [0, 1], > 0; not used for uniform noise.
      channels: 1 or 3, independent of each other.
      num_train: number of training images.
      num_validation: number of validation images.
      num_test: number of test images.
      seed: seed of all images.
      data_dir: not used, since nothing is stored; every dataset takes it.

    Returns:
      A dataset with values in [0, 1], in 256 levels.

    Raises:
      InputError: an argument outside its range.
    """
    del data_dir
    resolution = check_resolution('noise_images', resolution)
    counts = check_counts('noise_images', num_train, num_validation, num_test, seed=seed)
    check_not_negative('noise_images', exponent=exponent)
    check_positive('noise_images', contrast=contrast)
    check_channels('noise_images', channels)
    frequencies = np.hypot(*np.meshgrid(*(np.fft.fftfreq(size) for size in resolution), indexing='ij'))
    frequencies[0, 0] = np.inf
    amplitudes = frequencies**-exponent
    # White noise of unit variance has this standard deviation once its spectrum is shaped.
    amplitudes *= contrast / np.sqrt(np.mean(amplitudes**2))

    def draw(stream: int, index: int) -> np.ndarray:
        rng = np.random.default_rng([seed, stream, index])
        if exponent == 0:
            return rng.integers(0, 256, (*resolution, channels), dtype=np.uint8)
        white = rng.normal(size=(channels, *resolution))
        shaped = np.fft.ifft2(amplitudes * np.fft.fft2(white)).real
        return np.round(255 * np.clip(0.5 + shaped, 0, 1)).astype(np.uint8).transpose(1, 2, 0)

    def images(stream: int, split: str, count: int) -> Images:
        record = lambda index: Record(draw(stream, index), (0, 0, *resolution), f'{split} noise {index}')
        return Images(count, record)

    splits = {split: images(stream, split, count) for stream, (split, count) in enumerate(counts.items())}
    return image_dataset('noise_images', splits, (*resolution, channels), seed=seed)
