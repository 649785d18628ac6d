"""The meta-training loop and what surrounds it: devices, input, checkpoints, watching, evaluation.

What is trained is a `hyperinr.types.MetaLearner` and belongs to `meta_learning`; what it is trained on belongs to
`datasets`. Modules are imported by name, so that using a trained model does not load what only training needs.
"""
