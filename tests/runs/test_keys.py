"""Random keys: the same on every machine, and different for every name."""

from __future__ import annotations

import subprocess
import sys

import jax

from jaxsoil.runs.keys import key_of, seed_of, stable_hash


def test_keys_depend_on_the_name_alone_and_on_every_machine_alike() -> None:
    # The first four bytes of SHA-256 of "abc" (FIPS 180-2, example B.1): ba7816bf.
    assert stable_hash("abc") == 0xBA7816BF
    # Words of the keys as they were when they were first written down: a change would change every published run.
    assert jax.random.key_data(key_of(0, "ann/r/0")).tolist() == [2755594758, 2991779541]
    assert jax.random.key_data(key_of(0, "ann/r/1")).tolist() == [774744340, 1907546661]
    assert jax.random.key_data(key_of(1, "ann/r/0")).tolist() == [2654071477, 2474131990]


def test_a_name_may_be_given_in_parts() -> None:
    whole, parts = key_of(3, "ann/r/1"), key_of(3, "ann", "r", 1)
    assert jax.random.key_data(whole).tolist() == jax.random.key_data(parts).tolist()
    assert seed_of(3, "ann/r/1") == seed_of(3, "ann", "r", 1) == [3, stable_hash("ann/r/1")]
    assert seed_of(3, "ann", "r", 2) != seed_of(3, "ann", "r", 1)


def test_a_name_is_hashed_without_jax() -> None:
    code = "import sys; from jaxsoil.runs.keys import seed_of; seed_of(0, 'a'); assert 'jax' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stderr == ""
