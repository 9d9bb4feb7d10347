"""What a policy would be worth, estimated from the log of another one: off-policy evaluation.

A log gives rewards, the propensities of what was shown, and what another policy would have shown; estimators
(`estimators.py`, of single places; `slates.py`, of whole lists) give its value with intervals (`intervals.py`),
`overlap.py` says whether the log can tell at all, and `gate.py` judges. Pure numpy; reads no file.
"""
