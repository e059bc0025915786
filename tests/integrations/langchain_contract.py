"""LangChain's own tests of a retriever, on the embedded model and drawn photos.

Run by test_langchain.py in a process of its own: they want plugins of pytest that the rest does without.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from langchain_tests.integration_tests import RetrieversIntegrationTests
from PIL import Image

from mmsearch.config import Settings
from mmsearch.integrations.langchain import PhotoRetriever
from mmsearch.library.opening import open_library


class TestPhotoRetriever(RetrieversIntegrationTests):
    @pytest.fixture(autouse=True)
    def photos(self, tmp_path: Path) -> None:
        (tmp_path / "photos").mkdir()
        for name in ("red", "green", "blue", "white"):
            Image.new("RGB", (64, 48), name).save(tmp_path / "photos" / f"{name}.png")
        settings = Settings(library=tmp_path / "library", cache=tmp_path / "cache", device="cpu", model="embedded")
        self.library = open_library(settings.library, settings=settings)
        self.library.index(tmp_path / "photos")

    @property
    def retriever_constructor(self) -> type[PhotoRetriever]:
        return PhotoRetriever

    @property
    def retriever_constructor_params(self) -> dict[str, Any]:
        return {"library": self.library}

    @property
    def retriever_query_example(self) -> str:
        return "a red wall"
