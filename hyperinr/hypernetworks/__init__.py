"""Hypernetworks, from an embedding to the weights of an INR: factories (Inr, Encoder) -> `hyperinr.types.Hypernetwork`.

A hypernetwork knows only the names and shapes of its target's weights. To add one: one file with one factory, a row in
`tests/parts.py`, a gin file. `assembly` is their common part; `rates` has the step sizes.
"""

from hyperinr.hypernetworks.chunked import chunked
from hyperinr.hypernetworks.instance_pattern_composers import instance_pattern_composers
from hyperinr.hypernetworks.low_rank import low_rank
from hyperinr.hypernetworks.modulations import modulations
from hyperinr.hypernetworks.private_layers import private_layers
from hyperinr.hypernetworks.rates import Rates, learned_rates, only_leaves, predicted_rates
from hyperinr.hypernetworks.weight_heads import weight_heads
from hyperinr.hypernetworks.weight_tokens import weight_tokens

__all__ = [
    'Rates',
    'chunked',
    'instance_pattern_composers',
    'learned_rates',
    'low_rank',
    'modulations',
    'only_leaves',
    'predicted_rates',
    'private_layers',
    'weight_heads',
    'weight_tokens',
]
