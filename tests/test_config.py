"""Where settings come from, and what is wrong with them."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmsearch.config import Settings, load
from mmsearch.errors import ConfigError


def test_defaults_without_a_file(tmp_path: Path) -> None:
    assert load(tmp_path / "none.toml", {}) == Settings()


def test_environment_goes_before_the_file(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text('model = "ViT-B-32"\nbatch = 8\n')
    settings = load(tmp_path / "config.toml", {"MMSEARCH_BATCH": "16", "MMSEARCH_LIBRARY": str(tmp_path)})
    assert (settings.model, settings.batch, settings.library) == ("ViT-B-32", 16, tmp_path)


@pytest.mark.parametrize("word", ["false", "0", "no", "False"])
def test_a_switch_is_turned_off(tmp_path: Path, word: str) -> None:
    assert load(tmp_path / "none.toml", {"MMSEARCH_REGIONS": word}).regions is False
    (tmp_path / "config.toml").write_text("regions = false\n")
    assert load(tmp_path / "config.toml", {}).regions is False
    assert load(tmp_path / "config.toml", {"MMSEARCH_REGIONS": "true"}).regions is True


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("modle = 'x'", "unknown setting 'modle'; there are: library, cache, model"),
        ("batch = 'many'", "batch must be a whole number, not 'many'"),
        ("batch = 0", "batch must be at least 1, not 0"),
        ("max_megapixels = nan", "max_megapixels must be at least 1"),
        ("min_relevance = 1.5", "min_relevance must be at most 1, not 1.5"),
        ("min_relevance = -0.1", "min_relevance must be at least 0, not -0.1"),
        ("device = 'tpu'", "device must be auto, cpu or cuda, not 'tpu'"),
        ("batch = ", "cannot be read"),
        ("regions = 'perhaps'", "regions must be true or false, not 'perhaps'"),
    ],
)
def test_wrong_settings_are_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "config.toml").write_text(text)
    with pytest.raises(ConfigError, match=message):
        load(tmp_path / "config.toml", {})
