"""Offers as features: in what share of the places an item is in the flyer, on display or has a coupon.

Ibis expressions beside transforms.py, for DuckDB and Spark alike. A week's offers count as known at its cutoff if
they became known by then (`created_at`), since a flyer is printed before its week begins; later ones do not exist yet.

Tables by their columns:
  offers   item_id, kind, valid_from, valid_to, share, created_at
  weeks    week, starts, ends, known_by              one row a week, reaching back before the first cutoff
  weekly   item_index, week, flyer, display, coupon  shares, 0 where there is none
"""

from typing import Any

import ibis
from ibis import _

from feature_repo import columns, timeline

Table = Any

USUAL_WEEKS = 8  # before the cutoff's week, over which "usual" is a mean


def weekly(offers: Table, item_index: Table, weeks: Table) -> Table:
    """Give each item its largest share by kind and week; a kind of another name is announced to all, like a flyer."""
    filled = offers.mutate(share=_.share.fill_null(1.0), created_at=_.created_at.fill_null(_.valid_from))
    mine = filled.join(item_index, "item_id")
    mine = mine.select("item_index", "kind", "valid_from", "valid_to", "share", "created_at")
    held = mine.join(
        weeks, [mine.valid_from < weeks.ends, mine.valid_to > weeks.starts, mine.created_at <= weeks.known_by]
    )
    flyer, *others = columns.OFFER_KINDS
    named = {kind: held.kind == kind for kind in others}
    named = {flyer: held.kind.fill_null(flyer).notin(others)} | named
    best = {kind: ibis.ifelse(is_kind.fill_null(False), held.share, 0.0).max() for kind, is_kind in named.items()}
    return held.group_by("item_index", columns.WEEK).agg(**best)


def of_items(weekly: Table, cutoffs: Table) -> Table:
    """Give each item at each cutoff its offers of the week that begins, of the week before, and the usual share."""
    marks = cutoffs.select(columns.STATE_AT, cutoff=columns.WEEK)
    seen = weekly.join(marks, [weekly.week <= marks.cutoff, weekly.week >= marks.cutoff - USUAL_WEEKS])
    seen = seen.mutate(age=seen.cutoff - seen.week)
    flyer, display, coupon = (seen[kind] for kind in columns.OFFER_KINDS)

    def at(age: int, share: Any) -> Any:
        return (seen.age == age).ifelse(share, 0.0).max()

    def usual(share: Any) -> Any:
        return timeline.total((seen.age > 0).ifelse(share, 0.0)) / USUAL_WEEKS

    values = (
        at(0, flyer), at(0, display), at(0, coupon), at(1, flyer), at(1, display), usual(flyer), usual(display)
    )  # fmt: skip
    named = {name: value.cast("float32") for name, value in zip(columns.OFFER_NUMBERS, values, strict=True)}
    return seen.group_by("cutoff", columns.STATE_AT, key=seen.item_index).agg(**named)


def of_targets(item_offers: Table, item_shares: Table, item_index: Table, item_targets: Table) -> Table:
    """Give each target at each cutoff the share of its trade that is on offer: items weighed by `share_slow`."""
    targets = item_targets.select("item_id", "target_id").distinct()
    pairs = targets.join(item_index, "item_id").select("target_id", key="item_index")
    sold = item_shares.select("cutoff", "key", "share_slow").join(pairs, "key")
    keys = ["cutoff", "key"]
    joined = sold.left_join(item_offers.select(*keys, *columns.TARGET_OFFERS), keys)
    # As doubles: engines round products of floats each in their own way.
    weight = joined.share_slow.cast("float64")
    total = timeline.total(weight)
    return joined.group_by("cutoff", key=joined.target_id).agg(
        **{
            name: (timeline.total(weight * joined[name].cast("float64").fill_null(0.0)) / total).cast("float32")
            for name in columns.TARGET_OFFERS
        }
    )
