"""The policies by name, as a release and the logs have it. A new one is its module and its entry in `POLICIES`."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from components.policy.choice import Policy
from components.policy.policies.epsilon import Epsilon
from components.policy.policies.greedy import Greedy
from components.policy.policies.learned import Learned
from components.policy.policies.slate import Slate
from components.policy.policies.softmax import Softmax
from components.policy.policies.thompson import Thompson
from feature_repo.errors import DataError

POLICIES: tuple[Policy, ...] = (Greedy(), Epsilon(), Softmax(), Thompson(), Slate(), Learned())  # with defaults
DEFAULT = POLICIES[0].name  # of a spec that declares no exploration
LEARNT = Learned.name  # of a release whose policy was learnt; no spec has its weights


def named(name: str, settings: Mapping[str, Any] | None = None) -> Policy:
    """Return the policy that a release or a log names, with its settings."""
    found = {policy.name: policy for policy in POLICIES}
    if name not in found:
        raise DataError(
            f"release policy '{name}': no such policy here; have {', '.join(found)} (components/policy/policies); "
            "serve the release with the version that wrote it"
        )
    if not settings:
        return found[name]
    known = settings_of(found[name])
    if unknown := sorted(set(settings) - set(known)):
        raise DataError(
            f"release policy '{name}': no setting '{unknown[0]}'; have {', '.join(known) or 'none'}; serve the release "
            "with the version that wrote it"
        )
    told = {key: _tuples(value) for key, value in settings.items()}
    return dataclasses.replace(found[name], **told)  # type: ignore[type-var]


def settings_of(policy: Policy) -> dict[str, Any]:
    """Return a policy's settings, as logs and releases hold them."""
    return dataclasses.asdict(policy) if dataclasses.is_dataclass(policy) else {}


def latest(short: str) -> Policy:
    """Return the policy that specs call by a short name, with its defaults.

    >>> latest("softmax").name
    'softmax@1'
    """
    return next(policy for policy in POLICIES if policy.name.partition("@")[0] == short)


def _tuples(value: Any) -> Any:
    """Return lists of JSON as the tuples that they were."""
    return tuple(_tuples(one) for one in value) if isinstance(value, list | tuple) else value
