"""Cross-fitting: folds by sample and laboratories held out, and what is fitted on the training rows of each."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jaxsoil.data.draws import take_rows
from jaxsoil.data.splits import kfold, random_share
from jaxsoil.evaluation.outliers import PcaSpace
from jaxsoil.runs.errors import DataError
from jaxsoil.spectra.harmonise import (
    Harmoniser,
    centre_and_scale,
    direct_standardisation,
    no_harmonisation,
    transfer_samples,
)
from jaxsoil.studies.hybrid.config import HybridConfig
from jaxsoil.studies.hybrid.prepare import MIN_ROWS, Prepared

RANDOM, LABORATORY = "random", "laboratory"
"""The two schemes: folds of samples drawn at random, and one laboratory held out at a time."""

WATCH_SHARE = 0.12
"""Share of the training rows that choose the epoch instead of training."""

MIN_TRAIN = 30
"""Measured rows below which a property is not learned."""

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]
Mask = NDArray[np.bool_]


@dataclasses.dataclass(frozen=True)
class Part:
    """A scheme's part that is held out: a fold's number as text, or a laboratory."""

    scheme: str
    name: str


@dataclasses.dataclass(frozen=True, eq=False)
class Trainable:
    """What trains for one property and part.

    Attributes:
      rows, watch: row numbers that train, and that choose the epoch.
      left_out: row numbers with a measured value that do not train because their spectrum is an outlier.
      space: the training rows' space of components.
    """

    rows: Rows
    watch: Rows
    left_out: Rows
    space: PcaSpace


@dataclasses.dataclass(frozen=True, eq=False)
class Crossing:
    """The data with their folds.

    Attributes:
      data: the prepared data.
      config: the configuration.
      fold: (n,) fold of each row, -1 for the rows that no fold trains on.
      held: laboratories that are held out in turn.
      methods: harmonisations that can be compared on these data.
    """

    data: Prepared
    config: HybridConfig
    fold: NDArray[np.int64]
    held: tuple[str, ...]
    methods: tuple[str, ...]

    @classmethod
    def lay_out(cls, data: Prepared, config: HybridConfig) -> Crossing:
        """Draws the folds by sample; samples of several laboratories stay together.

        Raises:
          DataError: a property with too few measured rows outside the held-out share, or fewer samples than folds.
        """
        fold = np.full(len(data), -1, dtype=np.int64)
        inside = np.ones(len(data), bool)
        if config.test_share > 0.0:
            inside = random_share(data.library, 1.0 - config.test_share, config.seed, target=None).train
        rows = np.flatnonzero(inside)
        for number, split in enumerate(kfold(data.library.select(rows), config.folds, config.seed + 1, target=None)):
            fold[rows[split.test]] = number
        for target in data.targets:
            count = int((np.isfinite(data.observed(target)) & inside).sum())
            if count < max(MIN_TRAIN, 2 * config.folds):
                raise DataError(
                    "too few measured rows to learn from",
                    source=data.library.name,
                    column=target,
                    value=f"{count} rows outside the held-out share, {max(MIN_TRAIN, 2 * config.folds)} needed",
                    remedy="Leave the property out of the targets, or lower --test-share.",
                )
        names, counts = np.unique(data.laboratory, return_counts=True)
        held = tuple(str(n) for n, c in zip(names, counts, strict=True) if c >= MIN_ROWS) if names.size > 1 else ()
        shared = max((len(s) for s in transfer_samples(data.laboratory, data.sample).values()), default=0)
        possible = {"none": True, "centre": names.size > 1, "direct": shared >= 5}
        methods = tuple(m for m in dict.fromkeys((*config.compare, config.harmonise)) if possible.get(m))
        if config.harmonise != "auto" and not possible[config.harmonise]:
            raise DataError(
                f"harmonisation '{config.harmonise}' is not possible with these data",
                source=data.library.name,
                value=f"{names.size} laboratories, at most {shared} samples that two of them share",
                remedy="Give --harmonise none, or centre where there are several laboratories.",
            )
        return cls(data, config, fold, held, methods)

    @property
    def method(self) -> str:
        """The harmonisation behind the product."""
        chosen = self.config.harmonise
        return ("direct" if "direct" in self.methods else "none") if chosen == "auto" else chosen

    @property
    def parts(self) -> list[Part]:
        """All parts that are held out: the folds, then the laboratories."""
        folds = [Part(RANDOM, str(number)) for number in range(self.config.folds)]
        return folds + [Part(LABORATORY, name) for name in self.held]

    def outside(self, part: Part) -> Mask:
        """Rows, (n,), that may train when a part is held out, measured or not."""
        if part.scheme == RANDOM:
            return (self.fold >= 0) & (self.fold != int(part.name))
        return self.data.laboratory != part.name

    def tested(self, part: Part, target: str) -> Mask:
        """Rows, (n,), with a measured value that judge a part; with a laboratory none whose sample another has."""
        measured = np.isfinite(self.data.observed(target))
        if part.scheme == RANDOM:
            return measured & (self.fold == int(part.name))
        inside = self.data.laboratory == part.name
        elsewhere = np.isin(self.data.sample, self.data.sample[~inside])
        return measured & inside & ~elsewhere

    def harmoniser(self, part: Part | None, method: str) -> Harmoniser:
        """The harmoniser of a part (None: of all rows), fitted without labels.

        Of a laboratory that is held out it uses what it must: the spectra of the laboratory (centring) or those of
        its transfer samples. :func:`exposure` says so.
        """
        data = self.data
        rows = np.ones(len(data), bool) if part is None else self.outside(part)
        if part is not None and part.scheme == LABORATORY:
            inside = data.laboratory == part.name
            if method == "centre":
                rows = rows | inside
            elif method == "direct":
                rows = rows | (inside & np.isin(data.sample, data.sample[~inside]))
        names = data.laboratory[rows]
        if method == "centre":
            return centre_and_scale(data.values[rows], names, min_rows=MIN_ROWS)
        if method == "direct":
            return direct_standardisation(
                data.values[rows], names, data.sample[rows], reference=_reference(data.laboratory, data.sample)
            )
        return no_harmonisation()

    def possible(self, part: Part, target: str) -> bool:
        """Whether enough measured rows of a property are left to learn from when a part is held out."""
        left = np.isfinite(self.data.observed(target)) & self.outside(part)
        return part.scheme == RANDOM or int(left.sum()) >= MIN_TRAIN // 2

    def trainable(self, part: Part | None, target: str, values: Floats) -> Trainable:
        """What trains for a property when a part is held out (None: nothing is)."""
        rows = np.isfinite(self.data.observed(target))
        rows = np.flatnonzero(rows if part is None else rows & self.outside(part))
        if rows.size < MIN_TRAIN // 2:
            raise DataError(
                "too few measured rows are left to learn from",
                source=self.data.library.name,
                column=target,
                value=f"{rows.size} rows without {'' if part is None else part.name}",
                remedy="Use fewer folds, or leave the property out of the targets.",
            )
        components = min(self.config.pca_components, rows.size - 2, values.shape[1] - 2)
        strict = PcaSpace.fit(values[rows], components, self.config.outlier_alpha)
        gone = strict.judge(values[rows]).outside
        kept = rows[~gone] if (~gone).sum() >= MIN_TRAIN // 2 else rows
        space = PcaSpace.fit(values[kept], components, self.config.flag_alpha, rounds=1)
        train, watch = self._part(kept)
        return Trainable(train, watch, np.setdiff1d(rows, kept), space)

    def _part(self, rows: Rows) -> tuple[Rows, Rows]:
        """Rows that train and rows that choose the epoch, without a sample in both.

        The latter are a power of two in number, so that folds of about one size share compiled programs.
        """
        wanted = 2 ** int(np.log2(max(WATCH_SHARE * rows.size, 1.0)))
        rng = np.random.default_rng([self.config.seed, rows.size])
        watch, train = take_rows(self.data.sample[rows], wanted, rng)
        return rows[train], rows[watch]


@functools.lru_cache(maxsize=4)
def _reference_of(laboratory: tuple[str, ...], sample: tuple[str, ...]) -> str:
    shared = transfer_samples(np.array(laboratory), np.array(sample))
    known = sorted({name for pair in shared for name in pair})
    return max(known, key=lambda name: sum(len(s) for pair, s in shared.items() if name in pair))


def _reference(laboratory: NDArray[Any], sample: NDArray[Any]) -> str:
    """The laboratory with most transfer samples, the same whatever is held out."""
    return _reference_of(tuple(laboratory.tolist()), tuple(sample.tolist()))


def exposure(scheme: str, method: str) -> str:
    """What a harmonisation used of the held-out part."""
    if scheme == RANDOM or method == "none":
        return "inductive"
    if method == "centre":
        return "all spectra of the held-out laboratory, none of its labels"
    return "spectra of the held-out laboratory's transfer samples, none of its labels"
