"""Hand-written kernels: the loss of one INR and its gradient in one launch, in place of automatic differentiation.

A kernel is one file with a function that returns a `hyperinr.fitting.loss.ValueAndGradient`, written for one INR: under
``jax.vmap`` it becomes a grid with one program for each. **The kernel here has run in Pallas's interpreter on a CPU and
has been lowered for CUDA, never on a GPU: nothing is known of its speed there.**
"""
