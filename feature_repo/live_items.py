"""What the document log says of items, over a release's own: the vocabulary grows by append.

A release's items keep their positions, so rows and models stay valid. An item that only the log names is appended, in
the order in which ids first came, and keeps its place also after it was taken back. Where a person who came later is
forgotten nothing stands in their place, and those behind move up: a position beyond the release's own means something
only beside the items that it was read with. Pure: no store, no model.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa

from feature_repo import columns
from feature_repo.documents.changes import ITEM, PERSON, VECTOR, Document, Newest
from feature_repo.documents.log import Snapshot
from feature_repo.ids import is_erased
from feature_repo.later_people import AS_PERSON, UNDER
from feature_repo.vocabulary import Vocabulary

AVAILABLE = "available"  # of an item's document; false: out of stock, or no longer sold
FROM_SOURCE = (
    "from_source"  # of a document that a job made of the source's table: a release that learnt it knows better
)
FIXED = (columns.ITEM_INDEX, columns.ITEM_ID, columns.FIRST_SEEN)  # columns that no document sets


def fits(kind: pa.DataType, value: Any) -> bool:
    """Tell whether a value, as JSON has it, can stand in a column; null can in every one.

    >>> fits(pa.float64(), 2), fits(pa.float64(), True), fits(pa.string(), 2), fits(pa.list_(pa.string()), ["a"])
    (True, False, False, True)
    """
    if value is None:
        return True
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return isinstance(value, list) and all(one is not None and fits(kind.value_type, one) for one in value)
    if pa.types.is_boolean(kind):
        return isinstance(value, bool)
    if pa.types.is_integer(kind):
        return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**31
    if pa.types.is_floating(kind):
        return isinstance(value, int | float) and not isinstance(value, bool)
    return isinstance(value, str) and _text(kind)


def kind_in_words(kind: pa.DataType) -> str:
    """Name what a column takes.

    >>> kind_in_words(pa.list_(pa.string())), kind_in_words(pa.int32())
    ('a list of texts', 'a whole number')
    """
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return f"a list of {kind_in_words(kind.value_type).removeprefix('a ')}s"
    if pa.types.is_boolean(kind):
        return "true or false"
    return "a whole number" if pa.types.is_integer(kind) else "a number" if pa.types.is_floating(kind) else "a text"


def _text(kind: pa.DataType) -> bool:
    dictionary = pa.types.is_dictionary(kind) and _text(kind.value_type)
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_null(kind) or dictionary)


def _settable(kind: pa.DataType) -> bool:
    """Tell whether JSON can say a value of a type: times and structures are the source's own."""
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return _settable(kind.value_type) and not pa.types.is_null(kind.value_type)
    return pa.types.is_boolean(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind) or _text(kind)


@dataclass(frozen=True)
class LiveItems:
    """A release's items as the log changes them."""

    vocabulary: Vocabulary  # grown: `learnt` says where the release's own items end
    hidden: frozenset[int]  # positions that nobody may be shown
    changed: Mapping[int, frozenset[str]]  # what the log says of which position, by column
    vectors: Mapping[int, Document] = field(default_factory=dict)  # what it holds of vectors, by position
    people: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)  # and of people who came later

    @property
    def anew(self) -> frozenset[int]:
        """Return the items of which the log says everything, as it does where an id was given to another thing."""
        every = {*declared(self.vocabulary)}
        return frozenset(place for place, said in self.changed.items() if said >= every)


def declared(vocabulary: Vocabulary) -> list[str]:
    """Name what a document may say of an item: the columns that the release's items have."""
    return [field.name for field in vocabulary.items.schema if field.name not in FIXED and _settable(field.type)]


def live(vocabulary: Vocabulary, documents: Iterable[Newest], *, under: str = "") -> LiveItems:
    """Lay documents, in the order in which their ids first came, over a release's vocabulary.

    Those of other kinds than items, people and vectors are passed over. `under` is the fingerprint of the release's
    key, "" where none is known: a person whom the log names under another key is shown to nobody.
    """
    every = list(documents)
    found = _items_of(vocabulary, (one for one in every if one.kind in (ITEM, PERSON)), under)
    place = found.vocabulary.index_of_item
    vectors = {place[one.id]: one.document for one in every if one.kind == VECTOR and one.document and one.id in place}
    return replace(found, vectors=vectors) if vectors else found


def of_log(vocabulary: Vocabulary, held: Snapshot, *, under: str = "") -> LiveItems:
    """Lay what a snapshot of the log holds over a release's vocabulary."""
    every = (one for kind in (ITEM, PERSON, VECTOR) for one in held.of(kind).values())
    return live(vocabulary, sorted(every, key=lambda one: one.first), under=under)


def _items_of(vocabulary: Vocabulary, documents: Iterable[Newest], under: str) -> LiveItems:
    learnt, index = len(vocabulary.item_ids), dict(vocabulary.index_of_item)
    says: dict[int, dict[str, Any]] = {}
    names, hidden = list(vocabulary.item_ids), set()
    people: dict[int, Mapping[str, Any]] = {}
    have = {name: vocabulary.items.schema.field(name).type for name in declared(vocabulary)}
    for one in documents:
        if one.kind == PERSON and one.document is None and is_erased(one.id) and one.id not in index:
            continue  # taken out of the log (documents/changes.py): nobody stands behind it
        place = index.setdefault(one.id, len(names))
        if place == len(names):
            names.append(one.id)
        document = one.document or {}
        if place < learnt and document.get(FROM_SOURCE):
            continue
        # A column that another release had, or had with another type, is not this one's.
        said = {name: value for name, value in document.items() if name in have and fits(have[name], value)}
        person = document.get(AS_PERSON) if place >= learnt and vocabulary.people else None
        if person is not None and under in ("", person[UNDER]):
            people[place] = person
        elif document.get(AVAILABLE) is False or (place >= learnt and (person is not None or not said)):
            hidden.add(place)
        if said or place >= learnt:
            says[place] = said
    if not says:
        return LiveItems(replace(vocabulary, learnt=learnt), frozenset(hidden), {})
    items = _items(vocabulary, names, says)
    changed = {place: frozenset(said) for place, said in says.items()}
    grown = replace(vocabulary, items=items, item_targets=_pairs(vocabulary, items, changed), learnt=learnt)
    return LiveItems(grown, frozenset(hidden), changed, people=people)


def _items(vocabulary: Vocabulary, names: Sequence[str], says: Mapping[int, Mapping[str, Any]]) -> pa.Table:
    """Return the table of items with what the log says of them."""
    table, learnt = vocabulary.items, vocabulary.items.num_rows
    paths = _path_of_category(table)
    made = {}
    for name in table.column_names:
        values = table[name].to_pylist() + [None] * (len(names) - learnt)
        if name == columns.ITEM_INDEX:
            values = list(range(len(names)))
        elif name == columns.ITEM_ID:
            values = list(names)
        else:
            for place, said in says.items():
                if name in said:
                    values[place] = said[name]
                elif name == columns.CATEGORY_PATH and columns.CATEGORY in said:
                    values[place] = paths.get(said[columns.CATEGORY])
        kind = table.schema.field(name).type
        made[name] = pa.array(values, pa.string() if pa.types.is_null(kind) else kind)
    return pa.table(made)


def _path_of_category(table: pa.Table) -> dict[str, str]:
    """Return the path of each category that has one only: who names such a category need not know its path."""
    if not {columns.CATEGORY, columns.CATEGORY_PATH} <= {*table.column_names}:
        return {}
    pairs = zip(table[columns.CATEGORY].to_pylist(), table[columns.CATEGORY_PATH].to_pylist(), strict=True)
    paths: dict[str, set[str]] = {}
    for category, path in pairs:
        paths.setdefault(category, set()).add(path)
    return {category: min(found) for category, found in paths.items() if len(found) == 1 and None not in found}


def _pairs(vocabulary: Vocabulary, items: pa.Table, changed: Mapping[int, frozenset[str]]) -> pa.Table:
    """Return which targets events with which items fulfil, anew for the columns that the log speaks of."""
    by_value: dict[tuple[str, str], list[tuple[int, str]]] = {}
    for number, target in enumerate(vocabulary.targets):
        if target.column is not None and target.value is not None:
            by_value.setdefault((target.column, target.value), []).append((number, target.event or ""))
    levels = {column for column, _ in by_value}
    column_of = [target.column for target in vocabulary.targets]
    ids = items[columns.ITEM_ID].to_pylist()
    anew = {ids[place]: said & levels for place, said in changed.items() if said & levels}
    old = vocabulary.item_targets
    keep = [
        column_of[target] not in anew.get(item, ())
        for item, target in zip(old["item_id"].to_pylist(), old["target_id"].to_pylist(), strict=True)
    ]
    rows = []
    for place, said in changed.items():
        for column in sorted(said & levels):
            value = items[column][place].as_py()
            for one in value if isinstance(value, list) else [value]:
                rows += [(ids[place], *pair) for pair in by_value.get((column, str(one)), ()) if one is not None]
    named = [dict(zip(("item_id", "target_id", "kind"), row, strict=True)) for row in rows]
    return pa.concat_tables([old.filter(pa.array(keep, pa.bool_())), pa.Table.from_pylist(named, schema=old.schema)])
