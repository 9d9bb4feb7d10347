"""A small BERT over tokens of weeks or events.

Letters: B users, T tokens, D width.
"""

import torch
from torch import Tensor, nn

from components.intent.shape import Shape


class Transformer(nn.Module):
    """A small BERT over tokens of weeks or events; weeks before the user's first carry a flag, padding a mask."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        from transformers import BertConfig, BertModel  # seconds to import, so only where it is used

        config = BertConfig(
            vocab_size=1,  # tokens come as vectors
            hidden_size=shape.width,
            num_hidden_layers=shape.layers,
            num_attention_heads=shape.heads,
            intermediate_size=2 * shape.width,
            max_position_embeddings=shape.length,
            hidden_dropout_prob=shape.dropout,
            attention_probs_dropout_prob=0.0,
        )
        self.bert = BertModel(config, add_pooling_layer=False)

    def forward(self, x: Tensor, there: Tensor | None = None) -> Tensor:
        """Map tokens [B, T, D] to [B, T, D]; `there` [B, T] marks those that are no padding.

        Events are placed by how many came after them, so that padding moves none of them.
        """
        if there is None:
            out: Tensor = self.bert(inputs_embeds=x).last_hidden_state
        else:
            places = torch.arange(x.shape[1] - 1, -1, -1, device=x.device)[None]  # [1, T]
            out = self.bert(inputs_embeds=x, attention_mask=there.long(), position_ids=places).last_hidden_state
        return out


build = Transformer
