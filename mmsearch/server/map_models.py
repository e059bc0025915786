"""What the interface takes and gives of the map, as ``models.py`` has it of the rest."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from mmsearch.server.models import Photo, Strict


class MapRequest(Strict):
    """How a map is made."""

    fresh: bool = Field(False, description="Lay all out anew, in other places and clusters")
    clusters: Literal["kmeans", "hdbscan"] | None = Field(None, description="None: as the last time, at first kmeans")


class MapCluster(BaseModel):
    """Photos that are alike: the points from ``first`` on."""

    number: int
    name: str
    first: int
    size: int
    x: int = Field(description="Where its name stands, as ``places`` has it")
    y: int


class PhotoMap(BaseModel):
    """Where each picture lies."""

    points: int = Field(description="How many; they stand in the order of their clusters, those without one last")
    places: str = Field(description="Base64 of 16-bit unsigned little-endian numbers: x and y of each point in turn")
    clusters: list[MapCluster]
    generation: int = Field(description="Of the library, when the map was made; also names the map in ``/map/photos``")
    current: bool = Field(description="Whether the library is still as it was then")


class MapPoints(Strict):
    """Points of a map that photos are asked of."""

    generation: int
    points: list[Annotated[int, Field(ge=0, lt=2**31)]] = Field(min_length=1, max_length=1000)


class MapPhotos(BaseModel):
    """The photos of points, in their order; None where the file is gone."""

    photos: list[Photo | None]
