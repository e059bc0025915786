"""What the interface takes and gives, as Pydantic models: OpenAPI is made of them.

Answers are the dicts of ``mmsearch/schemas.py``, which are not checked again on their way out; a test holds that these
models have exactly their keys.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

MOST_HITS = 1000  # of a page
MOST_EXAMPLES = 20
MOST_TAGS = 50  # of a request

Sort = Literal["relevance", "newest", "oldest"]
PhotoId = Annotated[int, Field(ge=1, lt=2**63)]
Text = Annotated[str, Field(max_length=4000)]
Tag = Annotated[str, Field(max_length=400)]  # before it is normalised


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
    tags: list[str] = Field([], description="Those that people gave it, then those that a model says")
    own_tags: list[str] = Field([], description="Of the tags, those that people gave it")
    city: str | None = None
    people: list[str] = []
    rating: int | None = None
    label: str | None = None
    length: float | None = Field(None, description="Of a film, in seconds")
    fps: float | None = None
    codec: str | None = None
    audio: bool | None = None


class Moment(BaseModel):
    """A moment of a film, with its times in seconds, or a page of a document."""

    part: int = Field(description="Its place among the parts of the file, from 0")
    score: float
    start: float | None = None
    end: float | None = None
    at: float | None = Field(None, description="The frame that shows it")
    page: int | None = Field(None, description="From 1")
    text: str | None = Field(None, description="Words that are said in it, or stand on it")


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
    moments: list[Moment] = Field([], description="Of a film or a document: its best parts, the best one first")


class SearchPage(BaseModel):
    """Some hits, best first."""

    hits: list[Hit]
    notes: list[Note]
    next_cursor: str | None = Field(description="Of the next page; null where there is none")
    more: bool
    found: int | None = Field(description="How many photos meet the conditions, where nothing ranks them; else null")
    generation: int | None = Field(description="Of the library: grows with every change")
    unreachable: list[str] = Field(description="Parts of the library that did not answer: hits are lacking for it")
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


class EngineState(BaseModel):
    """A server that the library asks, as this process found it."""

    part: str = Field(description="What of the library it has: metadata, vectors, words or tokens")
    name: str
    reachable: bool | None = Field(description="Null where it was not asked yet")
    since: str | None = Field(description="When it was found to be so")
    error: str | None
    open: bool = Field(description="Whether it is left alone for a while, after it failed several times in a row")


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
    blobs: str | None
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
    films: int
    hours: float = Field(description="That the films last together")
    sounds: int = Field(description="Audio files with words")
    sound_hours: float = Field(description="That these last together")
    moments: int
    documents: int
    pages: int
    reasons: dict[str, int]
    engines: list[EngineState] = Field(description="Empty where the library is a folder")
    version: str
    read_only: bool
    features: list[str] = Field(description="What this server can do: places, files, export-folder, look")
    indexing: IndexState


class WordHeat(BaseModel):
    """Where a word is found."""

    word: str
    heat: list[list[float]]


class Explanation(BaseModel):
    """Where a text is found in a photo: ``side`` x ``side`` values in [0, 1], rows from the top."""

    photo: str
    text: str
    score: float
    by: str
    side: int
    words: list[WordHeat]
    overall: list[list[float]]
    part: list[float] = Field(description="Of the photo that the values cover: left, top, right, bottom, in shares")


class Answer(BaseModel):
    """An answer, and how sure it is."""

    answer: str
    confidence: float


class Answers(BaseModel):
    """What a photo answers to a question, the likeliest first."""

    photo: str
    question: str
    answers: list[Answer]


class OtherCaption(BaseModel):
    """Another caption, and how sure it is."""

    caption: str
    confidence: float


class Caption(BaseModel):
    """What a photo shows."""

    photo: str
    caption: str
    confidence: float
    alternatives: list[OtherCaption]


class DuplicateGroup(BaseModel):
    """Photos that show the same; the one to keep is the first."""

    level: str
    photos: list[Photo]
    keep: int
    bytes: int = Field(description="Of the others")


class Duplicates(BaseModel):
    """Groups, those that take most space first."""

    groups: list[DuplicateGroup]
    more: bool


class SavedSearch(Strict):
    """A search with a name; ``query`` is what a page makes of it."""

    name: str = Field(min_length=1, max_length=200, pattern=r"[^\s.]")
    query: Text


class SavedSearches(BaseModel):
    """All saved searches."""

    searches: list[SavedSearch]


class ExportRequest(Strict):
    """Photos to take away."""

    ids: list[PhotoId] = Field(min_length=1, max_length=10_000)
    kind: Literal["zip", "folder"] = "zip"
    folder: str | None = Field(None, max_length=4000, description="Its whole path, for kind folder")


class TagRequest(Strict):
    """Photos, tags that they get, and tags that are taken from them."""

    ids: list[PhotoId] = Field(min_length=1, max_length=10_000)
    add: list[Tag] = Field([], max_length=MOST_TAGS)
    remove: list[Tag] = Field([], max_length=MOST_TAGS, description="Only tags that people gave can be taken")


class TagsChanged(BaseModel):
    """What became of the photos; a tag of one photo counts once."""

    photos: int
    changed: int = Field(description="Of these, photos that have other tags now")
    added: int
    removed: int


class TagCount(BaseModel):
    """A tag, and how many photos have it."""

    tag: str
    count: int


class Tags(BaseModel):
    """Tags, those of the most photos first."""

    tags: list[TagCount]


class NotCopied(BaseModel):
    """A photo that could not be copied."""

    id: int
    path: str
    reason: str


class Copied(BaseModel):
    """What was copied to a folder."""

    folder: str
    copied: int
    skipped: list[NotCopied]


class IndexRequest(Strict):
    """Folders or files to index; without any, all that the library knows."""

    paths: list[Annotated[str, Field(min_length=1, max_length=4000)]] = Field([], max_length=100)


class RunStarted(BaseModel):
    """The number of an index run."""

    run: int


class RunStopped(BaseModel):
    """Whether there was a run to stop."""

    stopping: bool


class FacetValue(BaseModel):
    """A value, how many photos have it, and the condition that leaves these."""

    value: str
    count: int
    query: str


class Facet(BaseModel):
    """What photos differ by."""

    field: str
    values: list[FacetValue]
    more: bool


class Facets(BaseModel):
    """Of the photos that a query finds; of a query with words the best ones are counted."""

    facets: list[Facet]
    counted: int
    complete: bool
    notes: list[Note]


class Month(BaseModel):
    """Such as 2024-07, and how many photos are of it."""

    month: str
    count: int


class Timeline(BaseModel):
    """The months of the photos that a query finds, the first one first."""

    months: list[Month]


class Place(BaseModel):
    """A photo, and where it was taken."""

    id: int
    latitude: float
    longitude: float


class Places(BaseModel):
    """Where the photos were taken that a query finds."""

    places: list[Place]
    more: bool


class Completion(BaseModel):
    """What the word before the cursor may become."""

    insert: str
    label: str
    kind: str


class Completions(BaseModel):
    """The likeliest first; they take the place of what stands from ``start`` to the cursor."""

    completions: list[Completion]
    start: int
