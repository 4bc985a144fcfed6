"""Where compiled programs are kept."""

import io
from pathlib import Path

import jax
import pytest
from rich.console import Console

from deepecg_jax.cli.compiled_programs import keep_compiled_programs


@pytest.fixture
def no_folder_yet():
    names = ("jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs")
    before = {name: getattr(jax.config, name) for name in names}
    jax.config.update("jax_compilation_cache_dir", None)
    yield
    for name, value in before.items():
        jax.config.update(name, value)


def said(monkeypatch: pytest.MonkeyPatch, cache: Path) -> str:
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    text = io.StringIO()
    keep_compiled_programs(Console(file=text, width=200))
    return text.getvalue()


def test_they_are_kept_in_the_users_cache(no_folder_yet, tmp_path, monkeypatch):
    assert said(monkeypatch, tmp_path) == ""
    folder = tmp_path / "deepecg_jax" / "xla"
    assert jax.config.jax_compilation_cache_dir == str(folder) and folder.is_dir()


def test_a_folder_that_is_set_is_left_alone(no_folder_yet, tmp_path, monkeypatch):
    jax.config.update("jax_compilation_cache_dir", str(tmp_path / "own"))
    said(monkeypatch, tmp_path)
    assert jax.config.jax_compilation_cache_dir == str(tmp_path / "own")
    assert not (tmp_path / "deepecg_jax").exists()


def test_a_folder_that_cannot_be_written_is_said(no_folder_yet, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    assert "compiled programs are not kept" in said(monkeypatch, tmp_path / "file")
    assert jax.config.jax_compilation_cache_dir is None
