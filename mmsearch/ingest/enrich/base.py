"""Enrichment: something more that is known of pictures that are stored already, such as captions or tags.

One more is one file with a subclass of ``Enrichment`` and one line in ``registry.py``; ``runner.py`` does the rest.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import ClassVar, Generic, TypeVar, cast

from mmsearch.store.writing import StoreWriter

Item = TypeVar("Item")  # what lacks it, as the store says
Job = TypeVar("Job")  # the item, with what was read of it
Result = TypeVar("Result")  # what was made of a batch


class Enrichment(ABC, Generic[Item, Job, Result]):
    """Pictures that lack something -> what they lack, stored a batch at a time.

    The steps of a run: ``pending`` -> ``read`` (threads, a bounded way ahead) -> ``compute`` -> ``save`` (a transaction
    a batch).  Only ``pending`` knows how far it is, so that an interrupted run is taken up by asking it again.
    """

    name: ClassVar[str]  # of its count in ``IndexReport.enriched``
    step: ClassVar[str] = ""  # of its ``Progress``, where it is called otherwise there
    share: str = ""  # of ``IndexReport.shares`` that computing counts for; empty where it takes no time
    reads: ClassVar[bool] = False  # files are opened: ``read`` is called in threads
    batch: int = 32  # pictures computed and stored together
    threads: int = 0  # that compute the next batches while one is stored; 0: the thread of the run computes

    @abstractmethod
    def pending(self) -> Iterable[Item]:
        """What lacks it.  Progress is reported where this has a length."""

    def read(self, item: Item) -> Job:
        """What ``compute`` needs of an item; by default the item itself.  Called in threads where ``reads`` is set."""
        return cast(Job, item)

    def pictures(self, job: Job) -> int:
        """How many pictures a job holds: jobs are read ahead and put in batches by them.  At least 1."""
        return 1

    @abstractmethod
    def compute(self, batch: Sequence[Job]) -> Result:
        """What is to be stored of a batch; in a thread of its own where ``threads`` is not 0."""

    @abstractmethod
    def save(self, writer: StoreWriter, batch: Sequence[Job], result: Result) -> int:
        """Store it, within one transaction; returns how many pictures it was stored of."""

    def counts(self) -> dict[str, int]:
        """What else ``IndexReport.enriched`` should say of this run, by name."""
        return {}

    @abstractmethod
    def path(self, job: Job) -> str:
        """The file that ``Progress`` names."""
