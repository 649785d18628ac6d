"""Download and conversion of a dataset, done once; afterwards the dataset is read without TensorFlow."""

import difflib
import errno
import importlib.util
from pathlib import Path

from hyperinr.datasets.cache import cache_folder, locked
from hyperinr.datasets.mnist_5k import mnist_5k
from hyperinr.datasets.photo_patches import photo_patches
from hyperinr.errors import InputError, RunError, first_line
from hyperinr.runtime.files import disk_errors

__all__ = ['prepare']

DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS)
OWN = {'mnist_5k': mnist_5k, 'photo_patches': photo_patches}


def prepare(name: str, data_dir: str | None = None) -> Path:
    """Prepare a dataset as ``array_record``, unless it is prepared already.

    Args:
      name: ``'photo_patches'`` or ``'mnist_5k'`` (with default arguments, without a download), or any dataset of
        tensorflow_datasets, such as ``'cifar10'`` or ``'imagenette/160px-v2'``.
      data_dir: see `hyperinr.datasets.cache_folder`.

    Returns:
      The folder of the prepared dataset.

    Raises:
      InputError: the name is unknown, TensorFlow is not installed, or the cache cannot be written.
      RunError: the download or the conversion failed.
    """
    root = cache_folder(data_dir)
    if name in OWN:
        OWN[name](data_dir=data_dir)
        return root
    if not _has_tensorflow():
        raise InputError(
            f"preparing {name} needs TensorFlow (reading it afterwards does not): pip install 'hyperinr[prepare]'."
        )
    import tensorflow_datasets as tfds

    known = tfds.list_builders()
    dataset = name.split('/')[0].split(':')[0]
    if dataset not in known:
        nearest = difflib.get_close_matches(dataset, [*OWN, *known], n=3)
        hint = f'did you mean {", ".join(nearest)}?' if nearest else 'see https://www.tensorflow.org/datasets/catalog.'
        raise InputError(f'there is no dataset {dataset!r}; {hint}')
    with locked(root, name):
        try:
            builder = tfds.builder(name, data_dir=str(root), file_format='array_record')
        except (ValueError, tfds.core.registered.DatasetNotFoundError) as error:
            raise InputError(f'{name}: {first_line(error)}') from error
        except Exception as error:
            raise InputError(
                f'{name}: {first_line(error)}; if {root / dataset} is there and damaged, delete it: it is made again.'
            ) from error
        try:
            builder.download_and_prepare()
        except Exception as error:
            if isinstance(error, OSError) and error.errno in DISK_ERRORS:
                with disk_errors(root):
                    raise
            raise RunError(f'preparing {name} failed: {first_line(error)}; nothing was kept, run it again.') from error
    return Path(builder.data_dir)


def _has_tensorflow() -> bool:
    return importlib.util.find_spec('tensorflow') is not None
