"""Starts of a fit that are not random: weights from a file, or weights that a model generates.

A model with a constant encoder gives the same meta-learned start for every signal.
"""

import os

import jax
import numpy as np

from hyperinr import weights as weights_lib
from hyperinr.errors import InputError
from hyperinr.files.weights import check_same_inr, read_weights
from hyperinr.kinds import Signal
from hyperinr.model import Model
from hyperinr.own_files.model_signals import datapoint_of
from hyperinr.types import Inr, InrWeights

__all__ = ['start_from_file', 'start_from_model']


def start_from_file(inr: Inr, path: str | os.PathLike, signal: Signal) -> InrWeights:
    """Read weights of the same INR from a file that `write_weights` wrote.

    Args:
      inr: the INR to fit from them.
      path: a ``.npz`` or ``.safetensors`` file.
      signal: the signal to fit; its coordinates say the shapes of the weights.

    Raises:
      InputError: no such file, metadata or shapes that differ from those of ``inr``, or several INRs in one file.
    """
    weights, metadata = read_weights(path)
    coord_dims = signal.coord_dims
    check_same_inr(metadata, inr, str(path))
    if weights_lib.spec_of(weights) != weights_lib.spec_of_inr(inr, coord_dims):
        raise InputError(
            f'{path} holds weights of other shapes than one INR of {coord_dims} coordinates has; a file of several '
            'INRs (--tile) is no start.'
        )
    return weights


def start_from_model(inr: Inr, model: Model, signal: Signal) -> InrWeights:
    """Generate weights for one signal with a trained model, its adaptation steps included.

    Args:
      inr: the INR to fit from them.
      model: a model that generates weights of this INR.
      signal: resampled to the model's grid here; its values are mapped to the model's range.

    Raises:
      InputError: the model emits another INR, or takes no such signal.
    """
    check_same_inr(model.inr.metadata, inr, 'the model')
    return jax.tree.map(np.asarray, model.generate(datapoint_of(model, signal)))
