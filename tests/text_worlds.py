"""A world of which titles alone tell the truth, and encoders small enough to train within a test.

Users have things in a warm or a cold colour, of categories that nobody asks about; who has warm things buys RED next,
the others BLUE. What is counted of a user says nothing of that. The things of the weeks that judge have titles that no
training row has, of words that training rows have.
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from components.intent.examples import Examples
from components.intent.spec import IntentModel
from feature_repo.clock import DAY_S
from feature_repo.rows import Ragged, UserRows
from feature_repo.vocabulary import Target, Vocabulary
from tests.intent.conftest import CALENDAR, SPLIT, context, known_row, user_rows

COLOURS = (("ruby", "cherry", "scarlet", "crimson"), ("navy", "azure", "cobalt", "indigo"))
NOUNS = ("cup", "chair", "lamp", "scarf", "bowl", "rug")
TITLES = [f"{word.title()} {noun}" for side in COLOURS for word in side for noun in NOUNS]
GROUP = np.repeat([0, 1], len(TITLES) // 2)  # of the item: warm or cold
KNOWN = np.asarray([(n // len(NOUNS) + n) % 3 > 0 for n in range(len(TITLES))])  # in training rows
RED, BLUE, VISIT = 0, 1, 2
USERS = 48
TUNES = ("head", "full", "lora", "dora", "adalora", "ia3", "prefix", "adapter")
RANKED = ("lora", "dora", "adalora", "prefix", "adapter")
WORDS = (
    "[PAD]", "[UNK]", "[CLS]", "[SEP]", *(word for side in COLOURS for word in side), *NOUNS, "today", "this", "last",
    "week", "month", "months", "ago", "year", "years", "once", "twice", "sometimes", "often", "cheap", "usual", "dear",
    "purchase", "view", ";",
)  # fmt: skip


def vocabulary() -> Vocabulary:
    """Return the targets, and items of a price each."""
    n = len(TITLES)
    items = pa.table(
        {
            "item_index": range(n),
            "item_id": [f"sku-{i}" for i in range(n)],
            "title": TITLES,
            "category": ["THINGS"] * n,
            "price": [float(1 + i % 3) for i in range(n)],
        }
    )
    pairs = pa.table({"item_id": ["sku-0"], "target_id": [RED], "kind": ["purchase"]})
    targets = (
        *(Target("buy", name, "purchase", "category") for name in ("RED", "BLUE")),
        Target("visit", None, None, None),
    )
    return Vocabulary(targets, items, pairs)


def with_histories(rows: UserRows, items: list[list[int]]) -> UserRows:
    """Add what each user has, one item a day before the row's time and further back."""
    offsets = np.concatenate([[0], np.cumsum([len(mine) for mine in items])]).astype(np.int64)
    ages = np.concatenate([np.arange(len(mine)) for mine in items]) if offsets[-1] else np.zeros(0, np.int64)
    flat = np.asarray([item for mine in items for item in mine], dtype=np.int32)
    owner = np.repeat(np.arange(len(items)), np.diff(offsets))
    lists = {
        "history_items": Ragged(flat, offsets),
        "history_weeks": Ragged(np.ones(len(flat), dtype=np.float32), offsets),
        "history_last_at": Ragged((rows.now[owner] - (3 * ages + 1) * DAY_S).astype(np.int64), offsets),
    }
    return replace(rows, lists={**rows.lists, **lists})


def world(seed: int = 0, *, users: int = USERS) -> Examples:
    """Make rows of all weeks; a user's colour is drawn by week, so that no count of before tells it."""
    rng = np.random.default_rng(seed)
    weeks = [week for part in SPLIT.values() for week in part]
    rows, items, labels = [], [], []
    for week in weeks:
        for user in range(users):
            rows.append(known_row(f"u{user:02}", {w: [VISIT] for w in range(1, week)}, week))
            warm = int(rng.random() < 0.5)
            seen = KNOWN if week in SPLIT["train"] else ~KNOWN
            mine = np.flatnonzero(seen & np.equal(GROUP, RED if warm else BLUE))
            items.append([int(item) for item in rng.choice(mine, 3, replace=False)])
            buys = rng.random() < 0.8
            labels.append([int(buys and warm), int(buys and not warm), int(rng.random() < 0.9)])
    happened = {f"u{user:02}": {w: [VISIT] for w in range(1, weeks[-1] + 1)} for user in range(users)}
    shares = context(happened)
    return Examples(
        rows=with_histories(user_rows(rows), items),
        week=np.asarray([row["week"] for row in rows]),
        labels=np.asarray(labels, dtype=np.uint8),
        context=replace(shares, shares=np.full((len(shares.weeks), 3, 3), 0.4, dtype=np.float32)),
        vocabulary=vocabulary(),
        calendar=CALENDAR,
        split=SPLIT,
    )


def encoder(folder: Path, *, kind: str = "bert", words: tuple[str, ...] = WORDS, seed: int = 0) -> Path:
    """Write a random encoder of two layers for `transformers` into a folder, tokenizer included."""
    import torch
    import transformers
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    config = transformers.AutoConfig.for_model(
        kind, vocab_size=len(words), hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48,
        max_position_embeddings=128, type_vocab_size=2, pad_token_id=0, bos_token_id=2, eos_token_id=3,
        initializer_range=0.3,
    )  # fmt: skip
    model = {"bert": "BertModel", "roberta": "RobertaModel", "xlm-roberta": "XLMRobertaModel"}[kind]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        getattr(transformers, model)(config, add_pooling_layer=False).save_pretrained(folder)
    tokenizer = Tokenizer(models.WordLevel({word: place for place, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def spec(folder: Path, tune: str = "head", **fields: Any) -> IntentModel:
    """Return the spec of a small model that reads by the encoder in a folder."""
    text = {"weights": str(folder), "tokens": 24, "tune": tune} | ({"rank": 4} if tune in RANKED else {})
    small = {"width": 16, "epochs": 6, "batch_size": 64, "learning_rate": 1e-2}
    return IntentModel.model_validate(small | {"architecture": "text", "text": text} | fields)


def changed(folder: Path, **fields: Any) -> Path:
    """Change an encoder's config."""
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | fields))
    return folder
