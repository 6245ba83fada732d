"""Compiled programs between runs: where they lie, what stays of them, and what is never an error."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import jax
import pytest

from jaxsoil.runs import compiled
from jaxsoil.runs.errors import UsageError


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A user's cache folder, where JAX was told no other; this process's own settings come back afterwards."""
    before = {
        name: getattr(jax.config, name)
        for name in ("jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs")
    }
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR", raising=False)
    monkeypatch.delenv(compiled.VARIABLE, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    jax.config.update("jax_compilation_cache_dir", None)
    yield tmp_path
    for name, value in before.items():
        jax.config.update(name, value)


def test_programs_are_kept_in_the_users_folder_unless_told_otherwise(home: Path, monkeypatch) -> None:
    folder = compiled.keep_compiled()
    assert folder is not None and folder.parent == home / "jaxsoil" / "xla" and folder.is_dir()
    assert jax.config.jax_compilation_cache_dir == str(folder)
    assert compiled.keep_compiled() == folder
    # A machine with other cores has a folder of its own.
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: range(77), raising=False)
    assert compiled.default_folder() != folder


@pytest.mark.parametrize("told", [{"JAX_COMPILATION_CACHE_DIR": "/elsewhere"}, {"JAX_COMPILATION_CACHE_DIR": ""},
                                  {compiled.VARIABLE: "0"}])  # fmt: skip
def test_what_the_user_says_goes_first(home: Path, monkeypatch, told: dict[str, str]) -> None:
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    assert compiled.keep_compiled() is None
    assert jax.config.jax_compilation_cache_dir is None and not list(home.iterdir())


def test_a_folder_that_cannot_be_made_is_no_error_and_a_size_that_is_none_is_one(home: Path, monkeypatch) -> None:
    (home / "jaxsoil").write_text("a file in the way")
    assert compiled.keep_compiled() is None and jax.config.jax_compilation_cache_dir is None
    monkeypatch.setenv(compiled.VARIABLE, "much")
    with pytest.raises(UsageError, match="JAXSOIL_XLA_CACHE_MB=much: give a number"):
        compiled.keep_compiled()


def test_a_folder_that_is_full_loses_what_was_not_used_for_longest(tmp_path: Path) -> None:
    for number, name in enumerate(("old", "newer", "newest")):
        path = tmp_path / "processor" / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(bytes(100))
        os.utime(path, (number, number))
    os.utime(tmp_path / "processor" / "old", (10, 0))  # written first, read last
    compiled.prune(tmp_path, 250)
    assert {path.name for path in tmp_path.glob("*/*")} == {"old", "newest"}
    compiled.prune(tmp_path / "nowhere", 0)
