"""The tables of a library, as SQLAlchemy Core sees them; the migrations of each driver create and change them.

roots       folders the user asked to index
exclusions  a row per pattern of names and paths that index runs leave out of a root
models      encoders whose vectors are stored; one is active
photos      a row per file: where it is, and which content it had when it was last read; an id is never used twice
contents    a row per different content, however many files have it: what the picture is, what the camera wrote
items       what is searched: a photo is one item, a video has one for each of its moments
embeddings  a vector per item and model; an id is never used twice and its vector never changes,
            so that an index is up to date when it holds the same ids
regions     region tokens per item and model, where they were computed
captions    what a reranker says of an item, where it was asked
part_texts  words that belong to a moment of a film or a page of a document, and where they stand
transcribed which films were listened to, and by what
ocr         the text read inside an item, where it was looked for; empty where there is none
tags, tagged  words of a vocabulary that fit an item, and which vocabulary it was compared with
own_tags    tags that people gave a file; they belong to its row in ``photos``, whatever it holds and wherever it is
waiting_tags  the same of files whose rows gave way to others, by content, until that is found again
sidecars    what files beside a photo say of it, such as ``photo.txt`` and ``photo.xmp``
words       full-text search: a row per photo, with what each driver looks words up in
properties  single values: ``generation`` grows with every change of what can be found, ``noted`` with every change of
            what is noted of it in columns that filters keep, ``identity`` is random
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Exists,
    Float,
    ForeignKey,
    FromClause,
    Index,
    LargeBinary,
    MetaData,
    Select,
    String,
    Table,
    UniqueConstraint,
    or_,
    select,
    text,
)
from sqlalchemy import (
    Integer as ShortInteger,
)

from mmsearch.store.sql.dialect import Float16Vector

metadata = MetaData()
Integer = ShortInteger().with_variant(BigInteger, "postgresql")  # SQLite's have 64 bits by themselves

roots = Table(
    "roots",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("path", LargeBinary, nullable=False, unique=True),  # os.fsencode: file names need not be UTF-8
)

exclusions = Table(
    "exclusions",
    metadata,
    Column("root_id", Integer, ForeignKey("roots.id", ondelete="CASCADE"), primary_key=True),
    Column("position", Integer, primary_key=True),  # in the order in which they were given
    Column("glob", LargeBinary, nullable=False),  # os.fsencode
)

models = Table(
    "models",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", String, nullable=False),
    Column("fingerprint", String, nullable=False, unique=True),
    Column("dim", Integer, nullable=False),
    Column("active", Boolean, nullable=False),
)

contents = Table(
    "contents",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("hash", LargeBinary, nullable=False, unique=True),  # BLAKE2b of the file's bytes
    Column("width", Integer, nullable=False),  # upright; 0 x 0 where the file is sound alone
    Column("height", Integer, nullable=False),
    Column("format", String, nullable=False),
    Column("taken_at", String),  # ISO 8601; with an offset only where the file gives one
    Column("camera", String),
    Column("lens", String),
    Column("latitude", Float),
    Column("longitude", Float),
    Column("description", String),  # what was written into the file about the picture: EXIF, IPTC, XMP
    Column("city", String),
    Column("people", String),  # a name a line
    Column("rating", Integer),  # stars, 1 to 5; -1: rejected
    Column("label", String),  # most often a colour
    Column("iso", Integer),
    Column("aperture", Float),  # f-number
    Column("exposure", Float),  # seconds
    Column("focal", Float),  # millimetres
    Column("dhash", LargeBinary),  # 8 bytes, near-equal for near-equal pictures; see media/dhash.py
    Column("metadata_version", Integer, nullable=False, server_default="0"),  # of the reading of the above
    Column("damage", String),  # what of the picture could not be read, in words
    Column("duration_ms", Integer),  # of a film; NULL for all else
    Column("fps", Float),
    Column("codec", String),
    Column("audio", Boolean),
    Column("content_identifier", String),  # Apple's, of a picture and its clip; NULL in what older versions read
    Index("contents_metadata_version", "metadata_version"),
    Index(
        "contents_content_identifier",
        "content_identifier",
        sqlite_where=text("content_identifier IS NOT NULL"),
        postgresql_where=text("content_identifier IS NOT NULL"),
    ),
    Index("contents_sounds", "id", sqlite_where=text("width = 0"), postgresql_where=text("width = 0")),
    sqlite_autoincrement=True,
)

photos = Table(
    "photos",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("path", LargeBinary, nullable=False, unique=True),
    Column("state", String, nullable=False),  # "ok", "failed" (see reason), "missing", or "wordless" sound
    Column("reason", String),  # why it could not be read
    Column("size", Integer, nullable=False),  # bytes
    Column("mtime_ns", Integer, nullable=False),
    Column("content_id", Integer, ForeignKey("contents.id")),  # what was last read well; None if it never was
    Index("photos_content", "content_id"),
    Index("photos_state", "state"),
    sqlite_autoincrement=True,  # ``Photo.id`` is public: never hand one out twice
)

items = Table(
    "items",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("content_id", Integer, ForeignKey("contents.id", ondelete="CASCADE"), nullable=False),
    # Its place among the items of its content, from 0, in the order of time or of pages: so one rule, without NULL,
    # says what is the same item, and a document needs no column more.
    Column("part", Integer, nullable=False),
    Column("start_ms", Integer),  # of a moment of a video; NULL where there is no time
    Column("end_ms", Integer),
    Column("at_ms", Integer),  # the frame that its vectors are of
    UniqueConstraint("content_id", "part"),
    # Whether there are any, and of which contents.  To name PostgreSQL here too would load its dialect each time; its
    # migrations say the same.
    Index("items_parts", "content_id", sqlite_where=text("part > 0")),
    sqlite_autoincrement=True,
)

embeddings = Table(
    "embeddings",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("item_id", Integer, ForeignKey("items.id", ondelete="CASCADE"), nullable=False),
    Column("model_id", Integer, ForeignKey("models.id", ondelete="CASCADE"), nullable=False),
    # dim little-endian float16; of sound no bytes, so that its items have ids that searches name them by
    Column("vector", Float16Vector, nullable=False),
    UniqueConstraint("item_id", "model_id"),
    sqlite_autoincrement=True,  # never hand out an id twice
)

regions = Table(
    "regions",
    metadata,
    Column("item_id", Integer, ForeignKey("items.id", ondelete="CASCADE"), primary_key=True),
    Column("model_id", Integer, ForeignKey("models.id", ondelete="CASCADE"), primary_key=True),
    Column("fingerprint", String, nullable=False),  # of the RegionCard; tokens of another one are stale
    Column("data", LargeBinary, nullable=False),  # as mmsearch.encoders.region_codec packs them
    Index("regions_current", "model_id", "fingerprint", "item_id"),  # who has them, without reading the data
)

captions = Table(
    "captions",
    metadata,
    Column("item_id", Integer, ForeignKey("items.id", ondelete="CASCADE"), primary_key=True),
    Column("reranker", String, nullable=False),  # its fingerprint; the caption of another one is stale
    Column("text", String, nullable=False),
    Column("confidence", Float, nullable=False),  # in [0, 1]
)

ocr = Table(
    "ocr",
    metadata,
    Column("item_id", Integer, ForeignKey("items.id", ondelete="CASCADE"), primary_key=True),
    Column("engine", String, nullable=False),  # its name and version; text of another one is stale
    Column("text", String, nullable=False),
)

part_texts = Table(
    "part_texts",
    metadata,
    Column("item_id", Integer, ForeignKey("items.id", ondelete="CASCADE"), primary_key=True),
    Column("source", String, primary_key=True),  # "inside" the file, "beside" it, or "speech" that was heard in it
    Column("text", String, nullable=False),
)

transcribed = Table(
    "transcribed",
    metadata,
    Column("content_id", Integer, ForeignKey("contents.id", ondelete="CASCADE"), primary_key=True),
    Column("engine", String, nullable=False),  # its name and model; what another one heard is stale
)

tags = Table(
    "tags",
    metadata,
    Column("item_id", Integer, ForeignKey("items.id", ondelete="CASCADE"), primary_key=True),
    Column("tag", String, primary_key=True),
    Column("vocabulary", String, nullable=False),  # fingerprint of vocabulary and model
    Column("score", Float, nullable=False),  # calibrated, in [0, 1]
    Index("tags_tag", "tag", "item_id"),
)

tagged = Table(
    "tagged",
    metadata,
    Column("item_id", Integer, ForeignKey("items.id", ondelete="CASCADE"), primary_key=True),
    Column("vocabulary", String, nullable=False),
)

own_tags = Table(
    "own_tags",
    metadata,
    Column("photo_id", Integer, ForeignKey("photos.id", ondelete="CASCADE"), primary_key=True),
    Column("folded", String, primary_key=True),  # as mmsearch.language.tag_names folds it
    Column("tag", String, nullable=False),  # as it was written first, in this library
    Index("own_tags_folded", "folded", "photo_id"),
)

waiting_tags = Table(
    "waiting_tags",
    metadata,
    Column("hash", LargeBinary, primary_key=True),  # of a content
    Column("folded", String, primary_key=True),
    Column("tag", String, nullable=False),
)

sidecars = Table(
    "sidecars",
    metadata,
    Column("photo_id", Integer, ForeignKey("photos.id", ondelete="CASCADE"), primary_key=True),
    Column("stamp", String, nullable=False),  # names, sizes and times of the files beside the photo
    Column("text", String, nullable=False),
    # As in ``contents``; these go before what stands there.  ``people`` are added to those.
    Column("taken_at", String),
    Column("latitude", Float),  # both or none
    Column("longitude", Float),
    Column("city", String),
    Column("people", String),
    Column("rating", Integer),
    Column("label", String),
    # These count where neither says it.
    Column("later_taken_at", String),
    Column("later_latitude", Float),
    Column("later_longitude", Float),
)

WORDS = ("name", "description", "caption", "ocr", "tags")  # columns of the FTS5 table ``words``
words = Table("words", MetaData(), Column("rowid", Integer, primary_key=True), *(Column(n, String) for n in WORDS))

properties = Table(
    "properties",
    metadata,
    Column("name", String, primary_key=True),
    Column("value", String, nullable=False),
)


def contents_with(table: Table) -> Select[tuple[int]]:
    """Ids of the contents of which an item has a row in this table."""
    return select(items.c.content_id).join(table, table.c.item_id == items.c.id)


def embedded(model: int) -> Select[tuple[int]]:
    """Ids of the contents that have all their vectors of this model: of a film, one of each moment."""
    several = select(items.c.content_id).where(items.c.part > 0)
    lacking = select(items.c.content_id).where(items.c.content_id.in_(several), ~_vector_of(items, model))
    having = contents_with(embeddings).where(embeddings.c.model_id == model)
    return having.where(items.c.content_id.not_in(lacking.correlate(None)))


def lacking_part(model: int) -> Exists:
    """Whether an item of the content, in a query of ``contents``, lacks its vector of this model."""
    one = items.alias()
    return select(one.c.id).where(one.c.content_id == contents.c.id, ~_vector_of(one, model)).exists()


def is_first(model: int | None) -> ColumnElement[bool]:
    """Whether an item, in a query of ``items``, is the first of its content that has a vector: of this model, or any.

    It is the one of part 0, but where that was lost.
    """
    earlier = items.alias()
    having = select(earlier.c.id).join(embeddings, embeddings.c.item_id == earlier.c.id)
    having = having.where(earlier.c.content_id == items.c.content_id, earlier.c.part < items.c.part)
    having = having if model is None else having.where(embeddings.c.model_id == model)
    return or_(items.c.part == 0, ~having.correlate(items).exists())


def _vector_of(item: FromClause, model: int) -> Exists:
    return select(embeddings.c.id).where(embeddings.c.item_id == item.c.id, embeddings.c.model_id == model).exists()
