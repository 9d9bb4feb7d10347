"""Read a YAML file of ours: a key given twice is refused, and what is wrong becomes one line with its place."""

from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from feature_repo.errors import SpecError, nearest, shortened

DEEPEST = 100  # lists and mappings in one another; one that holds itself has no end
LARGEST = 1_000_000  # values, those of an alias counted as often as it stands: ten short lines can say a billion


class _Loader(yaml.SafeLoader):
    """A loader that refuses a key given twice, which YAML's own would silently overwrite."""


def _mapping(loader: _Loader, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
    seen = set()
    for key_node, _value in node.value:
        key = loader.construct_object(key_node)
        if not isinstance(key, Hashable):
            raise SpecError(f"line {key_node.start_mark.line + 1}: a key must be a word, not a list or a mapping")
        if key in seen:
            raise SpecError(f"line {key_node.start_mark.line + 1}: the key '{key}' is given twice; keep one")
        seen.add(key)
    return yaml.SafeLoader.construct_mapping(loader, node, deep=True)


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def read_yaml(path: Path) -> Any:
    """Read a YAML file; raises SpecError for one that is absent or is no YAML."""
    try:
        document = yaml.load(path.read_text(encoding="utf-8"), _Loader)
        _measure(document)
        return document
    except FileNotFoundError:
        siblings = sorted(str(p) for p in path.parent.glob("*.yaml"))
        raise SpecError(f"{path}: no such file{nearest(str(path), siblings)}") from None
    except (IsADirectoryError, UnicodeDecodeError):
        raise SpecError(f"{path}: is no YAML file; name a spec such as pipelines/specs/grocery.yaml") from None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise SpecError(f"{path}: line {line}: {error.problem}; mend the YAML there") from None
    except (yaml.YAMLError, ValueError, TypeError, LookupError, AttributeError, OverflowError, RecursionError) as error:
        # A control character, a 30th of February, a number of 5,000 digits, lists in lists without end, a tag's value
        # of another kind than the tag: PyYAML raises what its readers of values do.
        said = " ".join(str(error).split())
        raise SpecError(f"{path}: is no YAML that can be read: {shortened(said, 200)}; mend it") from None
    except SpecError as error:
        raise SpecError(f"{path}: {error}") from None


def _measure(document: Any) -> None:
    """Refuse what no reader could walk: too deep, and so a list that holds itself, or too large with its aliases."""
    left, values = [(document, 1)], 0
    while left:
        value, depth = left.pop()
        values += 1
        if depth > DEEPEST:
            raise SpecError(f"lists and mappings in one another more than {DEEPEST} deep, or one that holds itself")
        if values > LARGEST:
            raise SpecError(f"more than {LARGEST:,} values, aliases counted as often as they stand; write fewer")
        if isinstance(value, dict):
            left += [(part, depth + 1) for pair in value.items() for part in pair]
        elif isinstance(value, list | tuple | set):
            left += [(part, depth + 1) for part in value]
