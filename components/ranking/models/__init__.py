"""The rankers: one module each, by the name that `models.ranking.architecture` gives it.

A module has `build(n_features, *, width, dropout)`, which returns a `ScoringNet` (components/ranking/net.py) with its
own `forward` and `loss`. The spec reads `MODELS`, so nothing here imports torch. A new one is its module and its name.
"""

MODELS = ("listwise_mlp",)
