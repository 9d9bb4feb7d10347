"""Policies learnt from a log: what is shown next, from what users did with what was shown before.

`answers.py` checks a log and lays it out, `reward_model.py` and `reinforce.py` learn a linear head over the candidates'
features, `learned.py` is what they leave, and `judged.py` puts it before the gate on users that it did not learn from.
Pure numpy, so that the door serves what was learnt without torch.
"""
