"""How good a model is on signals that training did not see: curves over fine-tuning steps, beside their baselines.

What looks on while a run trains is in `hyperinr.training.watching`; tables and pictures are in `hyperinr.inspection`.
"""
