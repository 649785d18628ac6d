"""From an embedding to the weights of an INR: factories (Inr, Encoder) -> `hyperinr.types.Hypernetwork`.

A hypernetwork knows only the names and shapes of its target's weights. To add one: one file with one factory, a row in
`tests/parts.py`, a gin file.
"""

from hyperinr.hypernetworks.weight_heads import weight_heads

__all__ = ['weight_heads']
