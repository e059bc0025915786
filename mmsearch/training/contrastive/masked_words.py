"""Guessing hidden words from the photo and the words around them: an auxiliary task, dropped when the model is saved.

The masked language modelling of BERT (Devlin et al. 2019) with a look at the picture through cross-attention, as in
ALBEF (Li et al. 2021) and BLIP; there the fusion has six layers, here it has one, because only the towers are kept.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class MaskedWords(nn.Module):
    """Token states (n, t, width), asking image states (n, s, image_width), to logits over ``vocabulary``.

    ``vocabulary`` (v,) are the token ids that the training captions have; ``table`` (all tokens, width) holds the
    towers' own word embeddings, used as output weights and not trained from here.
    """

    vocabulary: Tensor
    place: Tensor
    table: Tensor

    def __init__(self, image_width: int, width: int, vocabulary: Tensor, table: Tensor, heads: int = 4) -> None:
        super().__init__()
        self.image_norm, self.text_norm = nn.LayerNorm(image_width), nn.LayerNorm(width)
        self.look = nn.MultiheadAttention(width, heads, kdim=image_width, vdim=image_width, batch_first=True)
        self.mix = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.GELU(), nn.LayerNorm(width))
        self.bias = nn.Parameter(torch.zeros(len(vocabulary)))
        place = torch.zeros(len(table), dtype=torch.int64)
        place[vocabulary] = torch.arange(len(vocabulary))
        rows = table.detach().float()[vocabulary].clone()
        self.register_buffer("vocabulary", vocabulary, persistent=False)
        self.register_buffer("place", place, persistent=False)
        self.register_buffer("table", F.normalize(rows, dim=1), persistent=False)

    def forward(self, tokens: Tensor, images: Tensor, ids: Tensor, hidden: Tensor) -> Tensor:
        """The mean surprise over each text's hidden tokens, (n,); ``hidden`` (n, t) is True where they are."""
        asking = self.text_norm(tokens.float())
        seen, _ = self.look(asking, *(2 * [self.image_norm(images.float())]), need_weights=False)
        mixed = self.mix(tokens.float() + seen)[hidden]  # (hidden tokens, width)
        logits = mixed @ self.table.T.to(mixed.dtype) + self.bias  # (hidden tokens, v)
        surprise = F.cross_entropy(logits.float(), self.place[ids[hidden]], reduction="none")
        owner = hidden.nonzero()[:, 0]
        sums = torch.zeros(len(tokens), device=surprise.device).index_add(0, owner, surprise)
        return sums / hidden.sum(dim=1).clamp(min=1)


def hide(ids: Tensor, mask: Tensor, share: float, mask_id: int) -> tuple[Tensor, Tensor]:
    """Ids with a share of the words replaced by ``mask_id``, and where, both (n, t).

    First and last token of a text, which mark its ends, stay; at least one word of each text that has one is hidden.
    """
    lengths = mask.sum(dim=1, keepdim=True)
    places = torch.arange(ids.shape[1], device=ids.device)[None, :]
    inner = mask & (places > 0) & (places < lengths - 1)
    draws = torch.rand(ids.shape, device=ids.device).masked_fill(~inner, 2.0)
    hidden = (draws < share) | (draws == draws.min(dim=1, keepdim=True).values)
    hidden &= inner
    return ids.masked_fill(hidden, mask_id), hidden
