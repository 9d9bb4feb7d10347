"""Mail and push texts for each segment of users, from the batch's lists: what most of a segment's users would be shown.

Called by the job `digests`. A digest is written once for all users of a segment, so it says nothing of one of them; a
segment with few users has none. Fixed sentences write it, or the release's language model where there is one, under the
same checks as at the door. No user is named in what is written.

Letters: U users, N items of a digest.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from components.content import frames, writers
from components.content.facts import Described, Facts, Language
from components.content.llm.writer import ModelWriter, Written
from components.content.plain import plain
from components.content.spec import Content
from feature_repo import columns, files
from feature_repo.fallback import EVERYONE, Fallback
from feature_repo.vocabulary import Vocabulary

Channel = Literal["mail", "push"]
TABLE, ABOUT = "digests.parquet", "digests.json"
ROWS, LISTS, GROUP = "rows.parquet", "recommendations.parquet", "group"  # of the batch
PUSH = 120  # characters of a push text, which telephones cut
SCHEMA = pa.schema(
    {
        "segment": pa.string(),
        "users": pa.int64(),
        "channel": pa.string(),
        "language": pa.string(),
        "subject": pa.string(),  # of a mail; '' of a push text
        "text": pa.string(),  # of a mail one line an item
        "items": pa.list_(pa.string()),
        "sources": pa.list_(pa.string()),  # who wrote each item's line
        "model": pa.string(),  # that wrote any of them; null: none did
        "fallbacks": pa.list_(pa.string()),  # why fixed sentences stand in a model's place, each once
        columns.RELEASE: pa.string(),
    }
)
SUBJECTS: dict[Language, tuple[str, str]] = {"en": ("For you: {}", ", "), "zh": ("为您挑选: {}", "、")}


@dataclass(frozen=True)
class Segment:
    """One segment, and what its digest is about."""

    name: str
    group: int  # as the fallback numbers it; the last is everyone without a segment
    users: int
    items: tuple[str, ...]  # [N] item ids, what stands in most users' lists first


@dataclass(frozen=True)
class Release:
    """What of a release texts are made from."""

    id: str
    vocabulary: Vocabulary  # with items as they are now
    hidden: frozenset[int]  # positions that nobody may be shown
    fallback: Fallback
    content: Content
    verb: str
    step: str


def segments(rows: Path, lists: Path, release: Release, *, items: int, least_users: int) -> list[Segment]:
    """Return the segments of at least so many users, each with the items that stand in most of their lists.

    Ties go by the better mean rank, then by item id. Items that nobody may be shown by now are left out.
    """
    groups = pq.read_table(rows / ROWS, columns=[columns.USER_ID, GROUP])
    listed = pq.read_table(lists / LISTS, columns=[columns.USER_ID, columns.ITEM_ID, "rank"])
    counted = (
        listed.join(groups, columns.USER_ID, join_type="inner")
        .group_by([GROUP, columns.ITEM_ID])
        .aggregate([(columns.USER_ID, "count"), ("rank", "mean")])
        .to_pylist()
    )
    users = {int(one): n for one, n in _counts(groups[GROUP]).items()}
    best: dict[int, list[tuple[int, float, str]]] = {}
    for line in counted:
        place = release.vocabulary.index_of_item.get(line[columns.ITEM_ID])
        if place is not None and place not in release.hidden:
            found = (-line[f"{columns.USER_ID}_count"], line["rank_mean"], line[columns.ITEM_ID])
            best.setdefault(int(line[GROUP]), []).append(found)
    names = (*release.fallback.names, EVERYONE)
    return [
        Segment(names[group], group, users[group], tuple(item for _, _, item in sorted(best[group])[:items]))
        for group in sorted(best)
        if users[group] >= least_users
    ]


def facts(segment: Segment, item: str, release: Release) -> Facts:
    """Return what may be said of an item to all users of a segment."""
    words, spec, fallback = release.vocabulary, release.content, release.fallback
    index = words.index_of_item[item]
    row = words.items.slice(index, 1).to_pylist()[0]
    apart = {*spec.knowledge, *([spec.offer] if spec.offer else [])}
    shares = {"popular_share": fallback.everyone} | (
        {"segment_share": segment.group} if segment.group != fallback.everyone else {}
    )
    targets = words.targets_of_item.get(item, ())
    rates = {words.target_names[t]: float(fallback.rates[segment.group][t]) for t in targets}
    return Facts(
        item_id=item,
        attributes={name: value for name, value in row.items() if name not in apart},
        reasons={
            name: share for name, g in shares.items() if (share := fallback.listed[g].by_item.get(index, 0.0)) > 0
        },
        verb=release.verb,
        step=release.step,
        knowledge=tuple(
            (plain(row.get(columns.TITLE)), relation, said)
            for column, relation in spec.knowledge.items()
            if (said := plain(row.get(column)))
        ),
        offer=plain(row.get(spec.offer)) if spec.offer else "",
        frame=frames.of_intents(rates, spec.frames),
    )


def write(
    found: Sequence[Segment],
    release: Release,
    destination: Path,
    *,
    channels: Sequence[Channel],
    language: Language,
    model: ModelWriter | None,
) -> dict[str, int]:
    """Write digests.parquet and digests.json into a folder; return counts."""
    told = [[facts(one, item, release) for item in one.items] for one in found]
    fixed = writers.of(release.content.prompt, language)
    drafts = [[fixed.write(f, max_attributes=release.content.max_attributes) for f in ones] for ones in told]
    texts = asyncio.run(_written(told, drafts, model, language))
    lines = [
        _line(one, channel, told[n], texts[n], language=language, release=release.id)
        for n, one in enumerate(found)
        for channel in channels
        if one.items
    ]
    pq.write_table(pa.Table.from_pylist(lines, schema=SCHEMA), destination / TABLE, compression="zstd")
    every = [text for ones in texts for text in ones]
    by_model = sum(one.model is not None for one in every)
    about = {"release": release.id, "language": language, "channels": list(channels), "texts": len(every)}
    files.write_json(destination / ABOUT, about | {"by_model": by_model, "fallbacks": _reasons(every)})
    return {"segments": len(found), "digests": len(lines), "texts": len(every), "by_model": by_model}


async def _written(
    told: Sequence[Sequence[Facts]],
    drafts: Sequence[Sequence[Described]],
    model: ModelWriter | None,
    language: Language,
) -> list[list[Written]]:
    """Have each text written, one segment after the other; without a model the fixed sentences are the texts."""
    if model is None:
        return [[Written(d.text, d.source, d.used) for d in ones] for ones in drafts]
    made = []
    try:
        for ones, fixed in zip(told, drafts, strict=True):
            asked = [model.whole(f, d, language=language) for f, d in zip(ones, fixed, strict=True)]
            made.append(list(await asyncio.gather(*asked)))
    finally:
        await model.client.close()
    return made


def _line(
    segment: Segment,
    channel: Channel,
    told: Sequence[Facts],
    texts: Sequence[Written],
    *,
    language: Language,
    release: str,
) -> dict[str, Any]:
    titles = [plain(one.attributes.get(columns.TITLE)) or one.item_id for one in told]
    frame, comma = SUBJECTS[language]
    subject, used = frame.format(comma.join(titles)), list(texts)
    text = "\n".join(one.text for one in used)
    if channel == "push":
        used = [one for one in texts[:1] if len(one.text) <= PUSH]
        text, subject = (used[0].text if used else _cut(frame.format(titles[0]))), ""
    return {
        "segment": segment.name,
        "users": segment.users,
        "channel": channel,
        "language": language,
        "subject": subject,
        "text": text,
        "items": list(segment.items if channel == "mail" else segment.items[:1]),
        "sources": [one.source for one in used],
        "model": next((one.model for one in used if one.model), None),
        "fallbacks": sorted(_reasons(used)),
        columns.RELEASE: release,
    }


def _cut(text: str) -> str:
    return plain(text, most=PUSH)


def _reasons(texts: Sequence[Written]) -> Mapping[str, int]:
    reasons = [one.fallback for one in texts if one.fallback is not None]
    return {str(reason): reasons.count(reason) for reason in sorted(set(reasons))}


def _counts(column: pa.ChunkedArray) -> dict[int, int]:
    return {one["values"]: one["counts"] for one in column.value_counts().to_pylist()}
