"""What the interface takes and gives, as Pydantic models: OpenAPI is made of them.

Answers are the dicts of ``mmsearch/schemas.py``, which are not checked again on their way out; a test holds that these
models have exactly their keys.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

MOST_HITS = 1000  # of a page
MOST_EXAMPLES = 20

Sort = Literal["relevance", "newest", "oldest"]
PhotoId = Annotated[int, Field(ge=1, lt=2**63)]
Text = Annotated[str, Field(max_length=4000)]


class Strict(BaseModel):
    """Of a request: what is unknown is refused."""

    model_config = ConfigDict(extra="forbid")


class SearchRequest(Strict):
    """A search, or the next page of one."""

    q: Text = Field("", description="What is looked for, in the query language; empty for all photos")
    k: int = Field(50, ge=1, le=MOST_HITS, description="Hits of a page")
    cursor: str | None = Field(None, max_length=200, description="Where the page before ended")
    sort: Sort | None = Field(None, description="By relevance, or by date; without words the newest come first")
    min_relevance: float | None = Field(None, ge=0, le=1, description="Hits below it are left out")
    rerank: bool | None = Field(None, description="Look at the best hits again; by default where it helps")
    diverse: bool = Field(False, description="Near-duplicates become one hit")
    like: list[PhotoId] = Field([], max_length=MOST_EXAMPLES, description="Photos of which more is wanted")
    unlike: list[PhotoId] = Field([], max_length=MOST_EXAMPLES, description="Photos of which less is wanted")
    where: Text = Field("", description="Conditions, in the query language")


class Problem(BaseModel):
    """What went wrong (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    code: str = Field(description="Names the kind of problem, and never changes")
    fields: dict[str, Any]


class Note(BaseModel):
    """Something that a person should know."""

    code: str
    message: str
    fields: dict[str, Any]


class Photo(BaseModel):
    """A photo; what is known of some only is null or left out for others."""

    id: int
    path: str
    width: int
    height: int
    format: str
    bytes: int
    date: str
    taken_at: str | None
    camera: str | None
    lens: str | None
    latitude: float | None
    longitude: float | None
    caption: str | None
    version: str = Field(description="Changes with the file: for thumbnails that may be kept for ever, with &v=")
    iso: int | None = None
    aperture: float | None = None
    exposure: float | None = None
    focal: float | None = None
    description: str | None = None
    text: str | None = None
    tags: list[str] = []
    city: str | None = None
    people: list[str] = []
    rating: int | None = None
    label: str | None = None


class PhotoDetails(Photo):
    """A photo, and whether its file is there at this moment."""

    present: bool


class Hit(Photo):
    """A found photo."""

    rank: int
    score: float | None
    first_stage: float | None = None
    answer: str | None = None
    answer_confidence: float | None = None
    relevance: float | None = Field(None, description="Probability that it is what the query means, where known")
    reasons: list[str] = Field([], description="Where words of the query were found")
    similar: list[str] = Field([], description="Paths of near-duplicates that it stands for")


class SearchPage(BaseModel):
    """Some hits, best first."""

    hits: list[Hit]
    notes: list[Note]
    next_cursor: str | None = Field(description="Of the next page; null where there is none")
    more: bool
    found: int | None = Field(description="How many photos meet the conditions, where nothing ranks them; else null")
    generation: int | None = Field(description="Of the library: grows with every change")
    question: str | None


class Skipped(BaseModel):
    """A file that could not be read."""

    path: str
    reason: str


class Damaged(BaseModel):
    """A file that was read as far as it goes."""

    path: str
    what: str


class IndexState(BaseModel):
    """The index run that goes on, or the last one."""

    running: bool
    run: int | None
    progress: dict[str, Any] | None


class Status(BaseModel):
    """What the library holds, and what this server does."""

    photos: int
    regions: int
    captions: int
    failed: int
    missing: int
    model: str | None
    dim: int | None
    fingerprint: str | None
    precision: str | None
    index: int
    index_kind: str | None
    recall: float | None
    generation: int
    bytes: int
    library: str
    roots: list[str]
    exclude: dict[str, list[str]]
    failures: list[Skipped]
    damaged: list[Damaged]
    formats: dict[str, int]
    years: dict[str, int]
    dated: int
    cameras: dict[str, int]
    photo_bytes: int
    megapixels: float | None
    located: int
    described: int
    texts: int
    tagged: int
    copies: int
    reasons: dict[str, int]
    version: str
    read_only: bool
    features: list[str] = Field(description="What this server can do: places, files, export-folder, look")
    indexing: IndexState
