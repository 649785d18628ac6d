"""Hand-written kernels that compute the loss of one INR and its gradient in one launch.

They replace automatic differentiation. A kernel is one file with a function that returns a
`hyperinr.fitting.loss.ValueAndGradient` of one INR. ``jax.vmap`` turns it into a grid with one program for each INR.
**The kernel here has run in Pallas's interpreter on a CPU and has been lowered for CUDA. It has never run on a GPU, so
its speed there is unknown.**
"""
