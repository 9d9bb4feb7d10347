"""A small BERT over weekly tokens.

Letters: B users, T weeks, D width.
"""

from torch import Tensor, nn

from components.intent.shape import Shape


class Transformer(nn.Module):
    """A small BERT over weekly tokens; weeks before the user's first carry a flag instead of a mask."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        from transformers import BertConfig, BertModel  # seconds to import, so only where it is used

        config = BertConfig(
            vocab_size=1,  # tokens come as vectors
            hidden_size=shape.width,
            num_hidden_layers=shape.layers,
            num_attention_heads=shape.heads,
            intermediate_size=shape.inner_units or 2 * shape.width,
            max_position_embeddings=shape.weeks,
            hidden_dropout_prob=shape.dropout,
            attention_probs_dropout_prob=0.0,
        )
        self.bert = BertModel(config, add_pooling_layer=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map tokens [B, T, D] to [B, T, D]."""
        out: Tensor = self.bert(inputs_embeds=x).last_hidden_state
        return out


build = Transformer
