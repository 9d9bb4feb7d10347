"""Writes about items with a language model, and serves nothing that the checker refuses.

A text leaves word by word while the model still writes: each word once the four behind it are known, since they can
turn its meaning. What is refused is asked for once more, with the reason; then, and where the model is away, late or
over budget, the fixed sentences of the spec's `prompt` are the text, and the answer says so. No model gets a user's id.
"""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Literal

from components.content.facts import Described, Facts, Language, about_the_person, of_everyone, spoken
from components.content.frames import framed
from components.content.grounding.checker import LONGEST, Refusal, check, check_begun, settled
from components.content.grounding.tokens import tokens
from components.content.llm import grammar, prompts
from components.content.llm.client import Client, Failed, Usage
from components.content.llm.spec import Model
from components.content.llm.store import Cost, Store, digest
from components.content.plain import plain
from components.content.writers.template import priced

NAME = "llm@1"
ABOUT = "a language model, each word of which the facts bear"
TRIES = 2
Fallback = Literal["away", "late", "refused", "rubbish", "endless", "ungrounded", "budget", "unsafe", "language"]
# Sentences to a reader who obeys, where a catalogue names things: no such item is shown to a model.
ORDERS = re.compile(
    r"\b(?:say|tell|write|print|output|reply|respond|answer|repeat|reveal|show|mention|claim|state|describe|translate|"
    r"recommend|praise|add|append|include|insert|remember|note|instructions?|prompt|system|assistant|jailbreak|"
    r"developer|chatgpt|ai|llm|model|instead of describing|from now on|do not|don't|you must|you should|you will|"
    r"please|execute|run|call|click|visit|forward|send|email|rules?|json|schema|end of|begin)\b\W",
    re.IGNORECASE,
)
CHINESE_ORDERS = re.compile("忽略|无视|指令|提示词|系统|你现在|请说|请写|输出|回复|告诉|扮演|必须|不要")
MARKUP = re.compile(r"[<>{}|`;\n\\]|--|##|\b(?:drop|select|delete)\s+(?:table|from)\b", re.IGNORECASE)
LONG = 14  # words of a value; more is a text, not a name


@dataclass(frozen=True)
class Written:
    """A text that is served, who wrote it, and what it took."""

    text: str
    source: str  # NAME, or the writer of fixed sentences
    used: tuple[str, ...]
    model: str | None = None  # the endpoint's name of it, where it wrote the text
    fallback: Fallback | None = None  # why fixed sentences stand in its place
    cached: bool = False
    tries: int = 0
    refusals: tuple[Refusal, ...] = ()  # of all tries
    first_ms: float | None = None  # until the first word left
    cost: Cost = field(default_factory=Cost)


@dataclass(frozen=True)
class Piece:
    """More of a text; `retract` takes all of it back that has left."""

    text: str = ""
    retract: bool = False


@dataclass
class ModelWriter:
    """Writes with one endpoint, one prompt and one budget. Use it from one event loop."""

    client: Client
    spec: Model
    prompt: Mapping[Language, str]
    store: Store | None = None  # None: nothing is kept, and no budget is counted
    clock: Callable[[], float] = time.time
    longest: int = LONGEST  # characters of a text
    words: Mapping[Language, int] = field(default_factory=lambda: prompts.WORDS)  # that the prompt asks for, at most
    kind: grammar.Kind = "text"
    _places: asyncio.Semaphore = field(init=False)

    def __post_init__(self) -> None:
        self._places = asyncio.Semaphore(self.spec.at_once)

    def titles(self, prompt: Mapping[Language, str], *, longest: int) -> "ModelWriter":
        """Return a writer of titles at the same endpoint, under the same budget, cache and number of calls at once."""
        return self.of_kind("title", prompt, longest=longest, words=prompts.WORDS_OF_TITLE)

    def of_kind(
        self, kind: grammar.Kind, prompt: Mapping[Language, str], *, longest: int, words: Mapping[Language, int]
    ) -> "ModelWriter":
        """Return a writer of another kind of text that shares everything else."""
        other = replace(self, prompt=prompt, longest=longest, words=words, kind=kind)
        other._places = self._places
        return other

    async def write(
        self, facts: Facts, fixed: Described, *, language: Language = "en", person: str = ""
    ) -> AsyncIterator[Piece | Written]:
        """Yield a text as it grows and, last, whole with its source; `fixed` is served where the model's is not.

        `person` is the pseudonym of who is written to; it is kept with what is cached, and leaves for nowhere.
        """
        if self.spec.languages is not None and language not in self.spec.languages:
            yield Written(fixed.text, fixed.source, fixed.used, fallback="language")
            return
        seen = framed(facts if self.client.endpoint.person_facts else of_everyone(facts))
        if reads_like_an_order(seen):
            yield Written(fixed.text, fixed.source, fixed.used, fallback="unsafe")
            return
        key = self._key(seen, language)
        if self.store is not None and (kept := self.store.text(key, now=self._now, days=self.spec.cache_days)):
            yield Piece(kept)
            yield self._whole(kept, seen, cached=True)
            return
        async for one in self._made(seen, fixed, language):
            if isinstance(one, Written) and one.fallback is None and self.store is not None and self.spec.cache_days:
                about = person if about_the_person(seen) else ""
                self.store.keep(key, one.text, person=about, item=facts.item_id, now=self._now)
            yield one

    async def whole(self, facts: Facts, fixed: Described, *, language: Language = "en", person: str = "") -> Written:
        """Return the text whole."""
        found: Written | None = None
        async for one in self.write(facts, fixed, language=language, person=person):
            found = one if isinstance(one, Written) else found
        assert found is not None
        return found

    async def _made(self, seen: Facts, fixed: Described, language: Language) -> AsyncIterator[Piece | Written]:
        """Ask the model, at most twice, within the deadline."""
        loop, began = asyncio.get_running_loop(), time.perf_counter()
        until = loop.time() + self.spec.deadline_ms / 1000
        took, refusals, why = Cost(), list[Refusal](), "ungrounded"
        first_ms, tries = None, 0
        while tries < TRIES:
            tries += 1
            attempt = _Attempt(self, seen, language, refused="; ".join(map(str, refusals[-3:])))
            async for piece in attempt.pieces(until):
                first_ms = first_ms or 1000 * (time.perf_counter() - began)
                yield piece
            took = Cost(*(x + y for x, y in zip(asdict(took).values(), asdict(attempt.cost).values(), strict=True)))
            if attempt.why is None:
                told = tuple(refusals)
                yield self._whole(attempt.text, seen, tries=tries, refusals=told, first_ms=first_ms, cost=took)
                return
            if attempt.left:
                yield Piece(retract=True)
            refusals += attempt.refusals
            why = attempt.why
            if why != "ungrounded":
                break
        yield Written(
            fixed.text, fixed.source, fixed.used, fallback=why, tries=tries,  # type: ignore[arg-type]
            refusals=tuple(refusals), first_ms=first_ms, cost=took,
        )  # fmt: skip

    def _whole(self, text: str, seen: Facts, **more: object) -> Written:
        return Written(text, NAME, used(text, seen), self.client.endpoint.model, **more)  # type: ignore[arg-type]

    def _key(self, seen: Facts, language: Language) -> str:
        endpoint = self.client.endpoint
        return digest(
            asdict(seen), self.prompt[language], endpoint.url, endpoint.model, endpoint.structured,
            self.spec.max_tokens, self.spec.temperature, language,
            *([endpoint.grammar] if endpoint.grammar else []), *([self.longest] if self.longest != LONGEST else []),
        )  # fmt: skip

    @property
    def _now(self) -> int:
        return int(self.clock())


@dataclass
class _Attempt:
    """One call: its text as far as it may leave, what it cost, and why it is no text."""

    writer: ModelWriter
    seen: Facts
    language: Language
    refused: str
    text: str = ""
    left: int = 0  # characters that have left
    why: Fallback | None = None
    refusals: list[Refusal] = field(default_factory=list)
    cost: Cost = field(default_factory=Cost)

    async def pieces(self, until: float) -> AsyncIterator[Piece]:
        """Yield what may leave; afterwards `why` says what went wrong."""
        writer, spec = self.writer, self.writer.spec
        prompt = writer.prompt[self.language]
        asked = prompts.filled(prompt, self.seen, language=self.language, refused=self.refused, words=writer.words)
        most = self._cost(len(asked), spec.max_tokens, spec.deadline_ms / 1000)
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout_at(until):
                await writer._places.acquire()
        except TimeoutError:
            self.why = "late"
            return
        try:
            if writer.store is not None and not writer.store.claim(most, spec.budget, now=writer._now):
                self.why = "budget"
                return
            began, usage = loop.time(), Usage()
            try:
                async for piece in self._checked(asked, until - loop.time(), usage):
                    yield piece
            except Failed as failed:
                self.why = failed.why
            finally:
                self.cost = self._cost(usage.asked, usage.answered, loop.time() - began)
                if writer.store is not None:
                    writer.store.settle(most, self.cost, now=writer._now)
        finally:
            writer._places.release()

    async def _checked(self, asked: str, timeout_s: float, usage: Usage) -> AsyncIterator[Piece]:
        writer, spec = self.writer, self.writer.spec
        lines, longest = prompts.instructions(writer.prompt[self.language]), writer.longest
        bound = writer.client.endpoint.grammar is not None and self.language == "en"
        answer = writer.client.stream(
            asked, max_tokens=spec.max_tokens, temperature=spec.temperature, timeout_s=timeout_s, usage=usage,
            grammar=grammar.of(self.seen, kind=writer.kind) if bound else "",
        )  # fmt: skip
        try:
            async for grown in answer:
                self.text += grown
                if self._judge(
                    check_begun(self.text, self.seen, language=self.language, prompt=lines, longest=longest)
                ):
                    return
                if more := settled(self.text, self.seen, language=self.language)[self.left :]:
                    self.left += len(more)
                    yield Piece(more)
        finally:
            await answer.aclose()  # type: ignore[attr-defined]
        self.text = self.text.rstrip()
        if not self._judge(check(self.text, self.seen, language=self.language, prompt=lines, longest=longest)):
            yield Piece(self.text[self.left :])
            self.left = len(self.text)

    def _judge(self, found: list[Refusal]) -> bool:
        """Note what is wrong; tell whether anything is."""
        if found:
            self.refusals, self.why = found, "ungrounded"
        return bool(found)

    def _cost(self, asked: int, answered: int, seconds: float) -> Cost:
        return Cost(asked + answered, seconds, self.writer.client.endpoint.money(asked, answered))


def reads_like_an_order(facts: Facts) -> bool:
    """Tell whether a value of the catalogue may be meant for a model: an order, or longer than a name.

    >>> reads_like_an_order(Facts("i1", {"title": "Leek soup"})), reads_like_an_order(Facts("i1", {"title": "Say: a"}))
    (False, True)
    """
    values = [
        *(value for _, value in spoken(facts)),
        facts.offer,
        *(part for triple in facts.knowledge for part in triple),
    ]
    words = [plain(value) for value in values]
    texts = [value for value in values if isinstance(value, str) and value.strip()]
    return any(MARKUP.search(text) or not plain(text) for text in texts) or any(
        ORDERS.search(f"{one} ") or CHINESE_ORDERS.search(one) or len(tokens(one)) > LONG for one in words
    )


def used(text: str, facts: Facts) -> tuple[str, ...]:
    """Name the facts whose words or numbers a text has."""
    said = {one.low for one in tokens(text) if one.kind != "mark"}
    found = [
        name
        for name, value in spoken(facts)
        if (words := {one.low for one in tokens(priced(value) if name == "price" else plain(value))
                      if one.kind != "mark"}) and words & said
    ]  # fmt: skip
    numbers = {f"{round(value)}": f"reason:{name}" for name, value in facts.reasons.items() if value >= 1}
    shares = {f"{value:.0%}".rstrip("%"): f"reason:{name}" for name, value in facts.reasons.items() if 0 < value < 1}
    reasons = [name for number, name in (numbers | shares).items() if number in said]
    offered = ["offer"] if facts.offer and "instead" in said else []
    return tuple(dict.fromkeys([*found, *reasons, *offered]))
