"""What signals, classes and actions are called, in English and in Chinese, by who sells and not by who models.

Data only: sentences.py makes sentences of it. A signal is found by the longest prefix of its name; what follows the
prefix stands for `{rest}`. A signal that has no words here is called by its own name.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Words:
    """A text in both languages."""

    en: str
    zh: str

    def filled(self, **parts: "str | Words") -> "Words":
        """Put parts into both; a part that is Words gives each language its own.

        >>> Words("{n} visits", "{n} 次到访").filled(n="3")
        Words(en='3 visits', zh='3 次到访')
        """

        def of(language: str) -> dict[str, str]:
            return {k: getattr(v, language) if isinstance(v, Words) else v for k, v in parts.items()}

        return Words(self.en.format(**of("en")), self.zh.format(**of("zh")))


NOTHING = Words("", "")
SIGNALS: dict[str, Words] = {
    "events.volume": Words("The number of actions that reached us", "收到的行为数"),
    "events.users": Words("The number of active customers", "活跃顾客数"),
    "events.users.segment": Words("The number of active customers of the group “{rest}”", "“{rest}”类活跃顾客数"),
    "events.sessions": Words("The number of visits", "到访次数"),
    "events.each": Words("The number of actions in a {rest}", "每次{rest}的行为数"),
    "events.clock": Words("The time of day around which people act", "顾客活动的平均时刻"),
    "events.null": Words("The share of actions without “{rest}”", "缺少“{rest}”的行为占比"),
    "events.unknown_items": Words(
        "The share of actions on goods that the catalogue does not have", "目录中没有的商品的行为占比"
    ),
    "events.repeats": Words("The share of actions that were reported twice", "重复上报的行为占比"),
    "events.set_aside": Words("The share of actions that were set aside as impossible", "因不合规则而被搁置的行为占比"),
    "events.new_items": Words("The share of actions on new goods", "新商品的行为占比"),
    "events.share": Words("The share of “{rest}” in what people do", "“{rest}”在顾客行为中的占比"),
    "events.kind": Words("The share of actions of the kind “{rest}”", "“{rest}”类行为的占比"),
    "events.discounted": Words("The share of goods sold at a discount", "打折售出的商品占比"),
    "events.same": Words("The share of actions with one and the same {rest}", "{rest}取同一数值的行为占比"),
    "events.hour": Words("The share of actions in the hours from {rest}:00", "{rest} 时起的时段的行为占比"),
    "events.weekday": Words("The share of actions on a {rest}", "{rest}的行为占比"),
    "events.quantity": Words("The quantity taken at a time", "每次购买的数量"),
    "events.price": Words("The price of what is sold, {rest},", "售出商品的价格（{rest}）"),
    "features.mean": Words("The average of “{rest}” over customers", "顾客“{rest}”的平均值"),
    "features.spread": Words("How much customers differ in “{rest}”", "顾客之间“{rest}”的差异"),
    "features.null": Words("The share of customers whose “{rest}” is missing", "缺少“{rest}”的顾客占比"),
    "features.agree": Words("Two ways to count “{rest}”, which should agree,", "本应一致的两种“{rest}”算法之比"),
    "features.segment": Words("The share of customers in the group “{rest}”", "“{rest}”类顾客占比"),
    "scores.mean": Words("How probable “{rest}” is held to be", "模型认为发生“{rest}”的可能性"),
    "scores.spread": Words("How differently customers are judged for “{rest}”", "模型对不同顾客“{rest}”判断的差异"),
    "scores.distinct": Words("How many different predictions there are of “{rest}”", "“{rest}”的不同预测值个数"),
    "forecasts.mean": Words("The forecast of “{rest}”", "“{rest}”的预测值"),
    "forecasts.spread": Words("How differently customers' “{rest}” is forecast", "不同顾客“{rest}”预测值的差异"),
    "forecasts.distinct": Words("How many different forecasts there are of “{rest}”", "“{rest}”的不同预测值个数"),
    "served.mean": Words("How probable “{rest}” was held to be in answers", "应答中“{rest}”的预测可能性"),
    "served.spread": Words(
        "How differently people were judged for “{rest}” in answers", "应答中对不同顾客“{rest}”判断的差异"
    ),
    "served.distinct": Words(
        "How many different predictions of “{rest}” answers had", "应答中“{rest}”的不同预测值个数"
    ),
    "labels.count": Words("How often people did “{rest}”", "顾客做出“{rest}”的次数"),
    "labels.ratio": Words("How often people did “{rest}”, against what was predicted,", "“{rest}”实际次数与预测之比"),
    "labels.realised": Words("The quality of predictions ({rest})", "预测质量（{rest}）"),
    "requests.volume": Words("The number of times that recommendations were asked for", "推荐请求次数"),
    "requests.users": Words("The number of people who were shown recommendations", "看到推荐的人数"),
    "requests.modelled": Words("The share of answers that the models gave", "由模型给出的推荐占比"),
    "requests.degraded": Words("The share of simpler answers, given since something failed", "因故障而降级的推荐占比"),
    "requests.latency": Words("The time until recommendations are there", "推荐的响应时间"),
    "shown.items": Words("The number of different goods that are shown", "展示的不同商品数"),
    "shown.top": Words("The share of the most shown goods in all that is shown", "展示最多的商品所占的比例"),
    "shown.source": Words("The share of recommendations that come from “{rest}”", "来自“{rest}”的推荐占比"),
    "shown.share": Words("The share of “{rest}” in what is shown", "展示内容中“{rest}”的占比"),
    "shown.text": Words("What the goods that are shown are about", "展示商品的内容"),
    "rewards.rate": Words("The share of recommendations that people acted on", "顾客有所行动的推荐占比"),
}
TAILS: dict[str, dict[str, Words]] = {  # what tails of some prefixes mean
    "events.same": {"price": Words("price", "价格"), "quantity": Words("quantity", "数量")},
    "events.each": {"session": Words("visit", "到访"), "user": Words("customer's period", "每位顾客")},
    "events.null": {"time": Words("time of day", "时刻")},
    "events.price": {
        "p10": Words("of the cheap tenth", "较便宜的一成"),
        "p50": Words("in the middle", "中位"),
        "p90": Words("of the dear tenth", "较贵的一成"),
        "index": Words("times what the same goods cost before", "与同样商品此前价格之比"),
    },
    "events.weekday": {
        "monday": Words("Monday", "星期一"),
        "tuesday": Words("Tuesday", "星期二"),
        "wednesday": Words("Wednesday", "星期三"),
        "thursday": Words("Thursday", "星期四"),
        "friday": Words("Friday", "星期五"),
        "saturday": Words("Saturday", "星期六"),
        "sunday": Words("Sunday", "星期日"),
    },
}
UNKNOWN = Words("The signal “{rest}”", "信号“{rest}”")
UP, DOWN = Words("rose", "上升"), Words("fell", "下降")
CHANGED = Words(
    "{what} {moved}{by}: {value} in the latest period, usually {low} to {high}.",
    "{what}{moved}{by}：最近一期为 {value}，平常在 {low} 到 {high} 之间。",
)
BY = Words(" by {effect}", "了 {effect}")
TIMES = Words(" to {effect} times as much", "到原来的 {effect} 倍")
HOURS = Words(" by {effect} hours", "了 {effect} 小时")
POINTS = Words(" by {effect} percentage points", "了 {effect} 个百分点")
CLEARLY = Words(" clearly", "明显")
SINCE = Words("Since {date}.", "自 {date} 起。")
EXPECTED = Words("Expected: {why}.", "属预期之内：{why}。")
LAST_YEAR = Words("it was so at this time of last year", "去年同期也是如此")
BEGINS = Words("the period that begins on {date}", "{date} 起的一期")
PASSED = Words("It is as usual again", "已恢复如常")
MESSAGE = Words("{name}: {head}. {first}", "{name}：{head}。{first}")
HEADLINES: dict[str, Words] = {
    "none": Words("All is as usual", "一切如常"),
    "data_fault": Words("Something is wrong with the data", "数据出了问题"),
    "world": Words("Your customers or your goods have changed", "顾客或商品发生了变化"),
    "performance": Words("Recommendations do less well than usual", "推荐效果低于平常"),
    "undecided": Words("There is not enough data to tell", "数据还不足以判断"),
}
MEANING: dict[str, Words] = {
    "none": Words("Nothing needs to be done.", "无需任何操作。"),
    "data_fault": Words(
        "This is about how data reaches us, not about your customers. Please ask whoever sends the data to look at the "
        "points below. Recommendations go on as before.",
        "这与数据的来源有关，而不是顾客的变化。请让负责数据的人查看下面各项。推荐照常提供。",
    ),
    "world": Words(
        "The data itself looks sound. Recommendations go on; they may fit less well until they have been learned anew.",
        "数据本身没有问题。推荐照常提供；在重新学习之前，可能不如平常贴切。",
    ),
    "performance": Words(
        "People did less of what was predicted than they usually do. Recommendations go on.",
        "顾客实际做的比预测的少。推荐照常提供。",
    ),
    "undecided": Words("Recommendations go on. Look again when there is more.", "推荐照常提供，待数据更多时再看。"),
}
HELD = Words(
    "We learn nothing from this data until it has been mended, so that recommendations are not spoilt by it.",
    "在数据修复之前，我们不用它学习，以免影响推荐。",
)
WATCHED = Words("We looked at {judged} figures of {periods} periods.", "我们检查了 {periods} 期的 {judged} 项数据。")
TOLD = Words("We told the people in charge on {date}.", "我们已于 {date} 通知负责人。")
UNTOLD = Words(
    "The message to the people in charge did not arrive ({why}); it is sent again with the next check.",
    "发给负责人的通知未送达（{why}）；下次检查时会再次发送。",
)
DID: dict[str, Words] = {  # of the mark `retraining`
    "nothing": Words("Nothing was learned anew: there was no need.", "未重新学习：没有必要。"),
    "train": Words("We learned anew from the newest data.", "我们用最新数据重新学习了。"),
    "shadow": Words(
        "We learned anew in the background; it takes over only if it does better.",
        "我们在后台重新学习；只有效果更好才会启用。",
    ),
    "wait": Words("We wait before learning anew: the last time is not long ago.", "距上次学习不久，我们暂缓重新学习。"),
    "hold": Words("Learning anew is held until the data is sound.", "在数据正常之前，暂停重新学习。"),
    "stop": Words(
        "Learning anew brought no gain more than once, so we stopped and ask a person to decide.",
        "多次重新学习没有改善，因此已停止，需由人来决定。",
    ),
    "over_budget": Words(
        "Learning anew has to wait: this month's number is used up.", "本月的学习次数已用完，需等待。"
    ),
}
DAY = Words("{day} {month} {year}", "{year}年{number}月{day}日")
MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip
