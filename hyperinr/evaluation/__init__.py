"""Evaluation of a model on signals that training did not see: curves over fine-tuning steps, and their baselines.

Evaluation during training is in `hyperinr.training.watching`; tables and pictures are in `hyperinr.inspection`.
"""
