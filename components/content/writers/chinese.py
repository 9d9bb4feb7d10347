"""Text about one recommended item in Chinese: fixed sentences around facts that are known, `template@2.zh`.

Asked for by a request's `language`; it stands behind a model's Chinese text as the English sentences stand behind the
English. It knows the same facts, and leaves out what is unknown.
"""

from components.content.facts import Described, Facts
from components.content.frames import framed
from components.content.plain import plain
from components.content.writers.template import LEAST, priced
from feature_repo import columns

DID = {"bought": "买", "listened to": "听", "watched": "看", "read": "读", "played": "玩", "ordered": "订购"}
STEPS = {"week": "周", "day": "天", "hour": "小时"}
NAMED = {"category": "类别", "brand": "品牌", "package_size": "规格"}

# A ranker's reasons, of somebody who is spoken of: as components/content/words.py says them in English.
REASONS = {
    "weeks_bought": "在{steps}里{did}过",
    "weeks_since": "最近一次是{steps}前",
    "category_weeks": "在{steps}里{did}过同类别的其他商品",
    "wrote_weeks": "在{steps}里联系过此用户",
    "wrote_since": "{steps}前联系过此用户",
    "common_acquaintances": "与此用户有{n}位共同好友",
    "friends_of_friends": "此用户的{n}位好友与其有联系",
    "intent": "意图概率 {n}",
    "popular_share": "在全体用户中的占比 {n}",
    "segment_share": "在所属分群中的占比 {n}",
}


def reason(name: str, value: float, verb: str, step: str) -> str:
    """Return a ranker's reason as a person reads it; one that has no words here keeps its name.

    >>> reason("weeks_bought", 24.0, "bought", "week"), reason("intent", 0.4928, "bought", "week")
    ('在24周里买过', '意图概率 0.4928')
    >>> reason("ctr_7d", 0.5, "bought", "week")
    'ctr 7d 0.5'
    """
    steps, did = f"{value:g}{STEPS.get(step, '周')}", DID.get(verb, "选")
    said = REASONS.get(name)
    return f"{name.replace('_', ' ')} {value:g}" if said is None else said.format(steps=steps, did=did, n=f"{value:g}")


class Chinese:
    """Writes fixed sentences in Chinese."""

    name = "template@2.zh"
    about = "fixed sentences in Chinese"

    def write(self, facts: Facts, *, max_attributes: int) -> Described:
        """Write the text about an item.

        >>> facts = Facts("i1", {"title": "龙井茶", "price": 12.5}, "history", {"weeks_bought": 3.0}, verb="bought")
        >>> Chinese().write(facts, max_attributes=5).text
        '龙井茶。价格: 12.50。您在3周里买过。'
        """
        seen = framed(facts)
        title = plain(seen.attributes.get(columns.TITLE))
        told = [(f"{title or f'商品 {plain(facts.item_id)}'}", columns.TITLE if title else columns.ITEM_ID)]
        attributes = [(f"{said}: {plain(seen.attributes.get(name))}", name) for name, said in NAMED.items()
                      if plain(seen.attributes.get(name))]  # fmt: skip
        if price := priced(seen.attributes.get("price")):
            attributes.append((f"价格: {price}", "price"))
        told += attributes[:max_attributes]
        if offer := plain(seen.offer):
            told.append((f"优惠: {offer}", "offer"))
        told += _reasons(seen)
        return Described("".join(f"{said}。" for said, _ in told), self.name, tuple(name for _, name in told))


def _reasons(facts: Facts) -> list[tuple[str, str]]:
    did, step = DID.get(facts.verb, "选"), STEPS.get(facts.step, "周")
    told = []
    if weeks := facts.reasons.get("weeks_bought", 0.0):
        told.append((f"您在{weeks:.0f}{step}里{did}过", "reason:weeks_bought"))
    if since := facts.reasons.get("weeks_since", 0.0):
        told.append((f"最近一次是{since:.0f}{step}前", "reason:weeks_since"))
    for name, who in (("segment_share", "像您一样的用户"), ("popular_share", "所有活跃用户")):
        if (share := facts.reasons.get(name, 0.0)) >= LEAST:
            told.append((f"{share:.0%}的{who}近来{did}过", f"reason:{name}"))
    return told


CHINESE = Chinese()
