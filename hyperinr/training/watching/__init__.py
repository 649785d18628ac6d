"""Watch a run while it trains: evaluators, loggers, stop rules, best checkpoints, and the time spent in each part.

The parameters of a run do not depend on anything here, so a run may resume with other evaluators. To add an evaluator
or a logger, write one file in `evaluators` or `loggers`.
"""
