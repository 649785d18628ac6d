"""Where a fit may begin other than at random: weights of a file, or those that a model generates.

A meta-learned start is that of a model with a constant encoder, at whatever signal.
"""

import os

import jax
import numpy as np

from hyperinr import weights as weights_lib
from hyperinr.errors import InputError
from hyperinr.files.images import resize
from hyperinr.files.weights import check_same_inr, read_weights
from hyperinr.model import Model
from hyperinr.own_files.generation import image_datapoint, model_grid
from hyperinr.types import Datapoint, Inr, InrWeights

__all__ = ['datapoint_of', 'start_from_file', 'start_from_model']


def start_from_file(inr: Inr, path: str | os.PathLike, *, coord_dims: int) -> InrWeights:
    """Read weights that `write_weights` wrote, of the same INR.

    Args:
      inr: that goes on from them.
      path: ``.npz`` or ``.safetensors``.
      coord_dims: D.

    Raises:
      InputError: no such file, other metadata or shapes than those of ``inr``, or several INRs in one file.
    """
    weights, metadata = read_weights(path)
    check_same_inr(metadata, inr, str(path))
    if weights_lib.spec_of(weights) != weights_lib.spec_of_inr(inr, coord_dims):
        raise InputError(
            f'{path} holds weights of other shapes than those of one INR of {coord_dims} coordinates; a file of '
            'several INRs (--tile) is no start.'
        )
    return weights


def start_from_model(inr: Inr, model: Model, image: np.ndarray) -> InrWeights:
    """Generate weights for one image with a trained model, its own adaptation steps included.

    Args:
      inr: that goes on from it.
      model: of the same INR.
      image: ``[H, W, C]`` in [0, 1], resampled to the model's own size.

    Raises:
      InputError: the model emits another INR, or takes no images.
    """
    check_same_inr(model.inr.metadata, inr, 'the model')
    return jax.tree.map(np.asarray, model.generate(datapoint_of(model, image)))


def datapoint_of(model: Model, image: np.ndarray) -> Datapoint:
    """Return an image ``[H, W, C]`` in [0, 1] as the model reads it: resampled to its own size, in its own range.

    Raises:
      InputError: the model takes no images.
    """
    shape = model_grid(model)
    return image_datapoint(resize(image, shape), model.spec.data_range)
