"""What looks on while a run trains: evaluators, loggers, stop rules, the best state, where the time goes.

No parameter of a run depends on anything here, so a run may go on with other evaluators than it began with. To add an
evaluator or a logger: one file in `evaluators` or `loggers`.
"""
