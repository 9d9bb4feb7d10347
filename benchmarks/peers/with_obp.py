"""The values that Open Bandit Pipeline's estimators give on arrays: reads an npz file, prints JSON. Runs in its own
environment.

`python with_obp.py ARRAYS.npz`. The file holds action, reward, pscore, position, action_dist [N, A, L] and reward_model
[N, A, L] with tau and lambda_, or slate_id, reward, position, and pscore and target of places, cascades and lists.
"""

import json
import sys
import types
from typing import Any

import numpy as np

for name in ("seaborn",):  # it draws pictures with it, and needs it to be imported
    sys.modules.setdefault(name, types.ModuleType(name))


def values(found: dict[str, np.ndarray]) -> dict[str, float]:
    """Return the values of single places."""
    from obp.ope import estimators as obp

    common = {"reward": found["reward"], "action": found["action"], "position": found["position"]}
    with_target = common | {"action_dist": found["action_dist"]}
    with_model = with_target | {"estimated_rewards_by_reg_model": found["reward_model"]}
    weighed = {"pscore": found["pscore"]}
    return {
        "ips": obp.InverseProbabilityWeighting().estimate_policy_value(**with_target, **weighed),
        "snips": obp.SelfNormalizedInverseProbabilityWeighting().estimate_policy_value(**with_target, **weighed),
        "dm": obp.DirectMethod().estimate_policy_value(**with_model),
        "dr": obp.DoublyRobust().estimate_policy_value(**with_model, **weighed),
        "switch_dr": obp.SwitchDoublyRobust(tau=float(found["tau"])).estimate_policy_value(**with_model, **weighed),
        "shrunk_dr": obp.DoublyRobustWithShrinkage(lambda_=float(found["lambda_"])).estimate_policy_value(
            **with_model, **weighed
        ),
    }


def slate_values(found: dict[str, np.ndarray]) -> dict[str, float]:
    """Return the values of lists."""
    from obp.ope import estimators_slate as obp

    common = {name: found[name] for name in ("slate_id", "reward", "position")}
    length = int(found["position"].max()) + 1
    return {
        "slate_ips": obp.SlateStandardIPS(len_list=length).estimate_policy_value(
            **common, pscore=found["list_pscore"], evaluation_policy_pscore=found["list_target"]
        ),
        "independent": obp.SlateIndependentIPS(len_list=length).estimate_policy_value(
            **common,
            pscore_item_position=found["place_pscore"],
            evaluation_policy_pscore_item_position=found["place_target"],
        ),
        "cascade": obp.SlateRewardInteractionIPS(len_list=length).estimate_policy_value(
            **common, pscore_cascade=found["cascade_pscore"], evaluation_policy_pscore_cascade=found["cascade_target"]
        ),
    }


def main() -> None:
    with np.load(sys.argv[1]) as file:
        found: dict[str, Any] = dict(file)
    answer = slate_values(found) if "slate_id" in found else values(found)
    print(json.dumps({name: float(value) for name, value in answer.items()}))


if __name__ == "__main__":
    main()
