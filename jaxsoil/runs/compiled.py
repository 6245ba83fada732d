"""Programs that XLA compiled, kept between runs in a folder of the user's: a study that is run again starts sooner.

JAX writes and reads them; which folder, and how large it may grow, is said here. What is loaded is the machine code
that was stored, so results are the same bits with and without.
"""

from __future__ import annotations

import contextlib
import os
import platform
import warnings
from pathlib import Path

from jaxsoil.runs.errors import UsageError
from jaxsoil.runs.keys import mark

VARIABLE = "JAXSOIL_XLA_CACHE_MB"
"""Environment variable: how large the folder may grow, in MB; 0: nothing is kept."""
MEGABYTES = 512
"""Its size without that: a study leaves 5 to 30 MB."""
SECONDS = 0.2
"""Programs that compile faster are not kept."""


def keep_compiled() -> Path | None:
    """Lets JAX keep what it compiles in this process, and takes what is old out of a folder that is full.

    Where JAX is already told a folder (``JAX_COMPILATION_CACHE_DIR``, even an empty one), that stays as it is. A folder
    that cannot be written is left alone; programs are then compiled as they come. Several processes may share it: what
    one of them finds half-written or removed it compiles for itself.

    Returns:
      The folder, None where none was set here.

    Raises:
      UsageError: the size in :data:`VARIABLE` is no number.
    """
    limit = _limit()
    if not limit or "JAX_COMPILATION_CACHE_DIR" in os.environ:
        return None
    import jax

    try:
        folder = default_folder()
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        prune(folder.parent, limit)
    except (OSError, RuntimeError):  # RuntimeError: a user without a home.
        return None
    # Whoever can write there runs code in this process.
    if not os.access(folder, os.R_OK | os.W_OK) or (hasattr(os, "getuid") and folder.stat().st_uid != os.getuid()):
        return None
    if jax.config.jax_compilation_cache_dir is None:
        jax.config.update("jax_compilation_cache_dir", str(folder))
        if "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS" not in os.environ:
            jax.config.update("jax_persistent_cache_min_compile_time_secs", SECONDS)
        warnings.filterwarnings("ignore", "Error (reading|writing) persistent compilation cache", UserWarning)
    return Path(str(jax.config.jax_compilation_cache_dir))


def default_folder() -> Path:
    """``XDG_CACHE_HOME`` or ``~/.cache``, below it ``jaxsoil/xla`` and a name of the processor and its usable cores.

    JAX's key of a program knows neither: code for another processor could not run, and code for fewer cores is slow.
    A home folder is often shared by machines that differ.
    """
    named = os.environ.get("XDG_CACHE_HOME", "")
    base = Path(named) if os.path.isabs(named) else Path.home() / ".cache"
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    said = [platform.machine(), platform.processor(), str(cores)]
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text("utf-8").partition("\n\n")[0].splitlines()
        said += [line for line in lines if line.startswith(("model name", "flags", "Features", "CPU part"))]
    return base / "jaxsoil" / "xla" / mark("\n".join(said), 16)


def prune(folder: Path, limit: int) -> None:
    """Removes the files below ``folder`` that were not used for longest until all together take ``limit`` bytes.

    Not left to JAX's own limit, which needs a lock at every look: file systems of clusters are slow at those.
    """
    found = []
    for path in folder.glob("*/*"):
        with contextlib.suppress(OSError):  # Another process may remove it meanwhile.
            stat = path.stat()
            found.append((max(stat.st_atime, stat.st_mtime), stat.st_size, path))
    total = sum(size for _, size, _ in found)
    for _, size, path in sorted(found):
        if total <= limit:
            return
        with contextlib.suppress(OSError):
            path.unlink()
        total -= size


def _limit() -> int:
    text = os.environ.get(VARIABLE, str(MEGABYTES))
    if not text.isdigit():
        raise UsageError(f"{VARIABLE}={text}: give a number of megabytes, 0 to keep no compiled programs.")
    return int(text) * 1_000_000
