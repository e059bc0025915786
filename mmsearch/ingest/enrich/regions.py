"""Region tokens that pictures lack: files are read again, encoded again, and the tokens stored.

They lack them where they were indexed without, and where the tokens are of another model than the one that is searched
with: then its vectors are stored beside them.  A picture is read and decoded a second time for that: each model wants
its pixels at another size.  A film is read once for all its moments.

What else reading them gives, metadata and hash, is stored too, unless another model asks for it: the hash of looks is
of what the model that is searched with sees.  The next batch is encoded while one is stored.  Vectors that are searched
stay as they are, so no index changes.
"""

from __future__ import annotations

from collections.abc import Sequence

from mmsearch.encoders.region_codec import pack
from mmsearch.ingest.encode import chunks_of
from mmsearch.ingest.enrich.base import Enrichment
from mmsearch.ingest.options import IngestContext
from mmsearch.ingest.read import Pending, Read, by_content, frames_of, pictures_of, read_again
from mmsearch.store.region_tokens import TokenModel
from mmsearch.store.writing import StoreWriter
from mmsearch.types import Vectors

Job = tuple[Pending, Read]
Made = list[tuple[bytes, Vectors]]  # packed tokens and vector (dim,) of each item whose file could be read


class RegionTokens(Enrichment[Pending, Job, Made]):
    """The region tokens that pictures lack.

    A file that cannot be read, or holds something else by now, is left alone: the walk over the folders speaks of it.
    """

    name = "regions"
    share = "encode"
    reads = True

    def __init__(self, context: IngestContext, tokens: TokenModel) -> None:
        self._context, self._tokens = context, tokens
        self._beside = tokens.encoder is not context.encoder
        if self._beside:
            self.share = "tokens"  # told apart in the report: it is what this costs
        options, self.threads = context.options.suited(tokens.encoder)
        self.batch = options.batch

    @classmethod
    def of(cls, context: IngestContext) -> RegionTokens | None:
        """None where no model gives any."""
        return None if context.tokens is None else cls(context, context.tokens)

    def pending(self) -> list[Pending]:
        context, tokens = self._context, self._tokens
        of = tokens.stored if self._beside else None
        return by_content(context.store.pending_regions(context.model, tokens.card, context.roots, of))

    def read(self, item: Pending) -> Job:
        context = self._context
        preprocess = self._tokens.encoder.card.preprocess
        return item, read_again(item, preprocess, context.options.max_megapixels, context.decoder)

    def pictures(self, job: Job) -> int:
        return pictures_of(job[1])

    def compute(self, batch: Sequence[Job]) -> Made:
        """The tokens of the items that could be read; empty where the encoder gave none."""
        pixels = (one for items, read in batch if read.picture for one in frames_of(read.picture, items))
        made: Made = []
        for some in chunks_of(pixels, self.batch):
            vectors, regions = self._tokens.encoder.encode_pictures(some)
            if regions is None:
                return []
            made += zip(pack(regions), vectors, strict=True)
        return made

    def save(self, writer: StoreWriter, batch: Sequence[Job], result: Made) -> int:
        if not result:
            return 0
        tokens, made = self._tokens, iter(result)
        for items, read in batch:
            if read.picture is None:
                continue
            for item in items:
                packed, vector = next(made)
                writer.put_regions(item.item, packed, tokens.stored, tokens.card, vector if self._beside else None)
            if not self._beside:
                writer.put_metadata(items[0].content, read.picture)
        return len(result)

    def path(self, job: Job) -> str:
        return job[1].file.path
