"""The policies by name, as a release and the logs have it. A new one is its module and its entry in `POLICIES`."""

from components.policy.choice import Policy
from components.policy.policies.greedy import Greedy
from feature_repo.errors import DataError

POLICIES: tuple[Policy, ...] = (Greedy(),)
DEFAULT = POLICIES[0].name  # of a spec that declares no exploration


def named(name: str) -> Policy:
    """Return the policy that a release names."""
    found = {policy.name: policy for policy in POLICIES}
    if name not in found:
        raise DataError(
            f"release policy '{name}': no such policy here; have {', '.join(found)} (components/policy/policies); "
            "serve the release with the version that wrote it"
        )
    return found[name]
