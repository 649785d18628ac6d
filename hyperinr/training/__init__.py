"""The meta-training loop, with its devices, input pipeline, checkpoints, evaluators, loggers and stop rules.

The loop trains a `hyperinr.types.MetaLearner` from `meta_learning` on data from `datasets`. Modules are imported by
name, so using a trained model does not load packages that only training needs.
"""
