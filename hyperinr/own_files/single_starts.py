"""Starts of a fit that are not random: weights from a file, or weights that a model generates.

A model with a constant encoder gives the same meta-learned start for every signal.
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
    """Read weights of the same INR from a file that `write_weights` wrote.

    Args:
      inr: the INR to fit from them.
      path: a ``.npz`` or ``.safetensors`` file.
      coord_dims: D.

    Raises:
      InputError: no such file, metadata or shapes that differ from those of ``inr``, or several INRs in one file.
    """
    weights, metadata = read_weights(path)
    check_same_inr(metadata, inr, str(path))
    if weights_lib.spec_of(weights) != weights_lib.spec_of_inr(inr, coord_dims):
        raise InputError(
            f'{path} holds weights of other shapes than one INR of {coord_dims} coordinates has; a file of several '
            'INRs (--tile) is no start.'
        )
    return weights


def start_from_model(inr: Inr, model: Model, image: np.ndarray) -> InrWeights:
    """Generate weights for one image with a trained model, its adaptation steps included.

    Args:
      inr: the INR to fit from them.
      model: a model that generates weights of this INR.
      image: ``[H, W, C]`` in [0, 1]; resampled to the model's size here.

    Raises:
      InputError: the model emits another INR, or takes no images.
    """
    check_same_inr(model.inr.metadata, inr, 'the model')
    return jax.tree.map(np.asarray, model.generate(datapoint_of(model, image)))


def datapoint_of(model: Model, image: np.ndarray) -> Datapoint:
    """Turn an image ``[H, W, C]`` in [0, 1] into a datapoint of the model, in its size and data range.

    Raises:
      InputError: the model takes no images.
    """
    return image_datapoint(resize(image, model_grid(model)), model.spec.data_range)
