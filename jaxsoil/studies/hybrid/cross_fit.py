"""Cross-fitting: folds by sample and laboratories held out, and what is fitted on the training rows of each."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from jaxsoil.data.draws import take_rows
from jaxsoil.data.splits import kfold, random_share
from jaxsoil.evaluation.applicability import SpectralSpace
from jaxsoil.runs.errors import DataError
from jaxsoil.spectra import harmonise
from jaxsoil.studies.hybrid.config import HybridConfig
from jaxsoil.studies.hybrid.prepare import MIN_ROWS, LaboratoryData

RANDOM, LABORATORY, TEST = "random", "laboratory", "held-out rows"
"""How rows are held out: in folds of samples drawn at random, one laboratory at a time, from all folds."""

LABORATORY_EXPOSURE = {
    "none": "inductive",
    "centre": "all spectra of the held-out laboratory, none of its labels",
    "direct": "spectra of the held-out laboratory's transfer samples, none of its labels",
}
"""What each harmonisation uses of a laboratory that is held out; of rows held out at random none uses anything."""

WATCH_SHARE = 0.12
"""Share of the training rows that choose the epoch instead of training."""

MIN_TRAIN = 30
"""Measured rows below which a property is not learned."""

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]
Mask = NDArray[np.bool_]


@dataclasses.dataclass(frozen=True)
class HeldOut:
    """Rows that are held out together, by a scheme: :data:`RANDOM`, :data:`LABORATORY` or :data:`TEST`.

    ``name``: number of the fold as text, name of the laboratory, or "-" for the rows that no fold trains on.
    """

    scheme: str
    name: str


TEST_ROWS = HeldOut(TEST, "-")
"""The rows that no fold trains on."""


@dataclasses.dataclass(frozen=True, eq=False)
class TrainingRows:
    """Rows that train models of one property while others are held out.

    Attributes:
      rows, watch: row numbers that train, and that choose the epoch.
      outliers: row numbers with a measured value that do not train because their spectrum is an outlier.
      space: the training rows' space of components.
    """

    rows: Rows
    watch: Rows
    outliers: Rows
    space: SpectralSpace


@dataclasses.dataclass(frozen=True, eq=False)
class CrossFit:
    """The data with their folds.

    Attributes:
      data, config: the prepared data, the configuration.
      fold: (n,) fold of each row, -1 for the rows that no fold trains on.
      laboratories: laboratories that are held out in turn.
      methods: harmonisations that can be compared on these data.
      reference: laboratory to which direct standardisation maps; "" where no two share samples.
    """

    data: LaboratoryData
    config: HybridConfig
    fold: NDArray[np.int64]
    laboratories: tuple[str, ...]
    methods: tuple[str, ...]
    reference: str

    @classmethod
    def draw(cls, data: LaboratoryData, config: HybridConfig) -> CrossFit:
        """Draws the folds by sample; samples of several laboratories stay together.

        Raises:
          DataError: a property with too few measured rows outside the held-out share, fewer samples than folds, or a
            harmonisation that is not possible.
        """
        fold = np.full(len(data), -1, dtype=np.int64)
        rows = np.arange(len(data))
        if config.test_share > 0.0:
            rows = np.flatnonzero(random_share(data.library, 1.0 - config.test_share, config.seed, target=None).train)
        for number, split in enumerate(kfold(data.library.select(rows), config.folds, config.seed + 1, target=None)):
            fold[rows[split.test]] = number
        needed = max(MIN_TRAIN, 2 * config.folds)
        for target in data.targets:
            count = int(data.measured(target)[rows].sum())
            if count < needed:
                problem = "too few measured rows to learn from"
                value = f"{count} rows outside the held-out share, {needed} needed"
                remedy = "Leave the property out of the targets, or lower --test-share."
                raise DataError(problem, source=data.library.name, column=target, value=value, remedy=remedy)
        several = len(data.sizes) > 1
        held = tuple(name for name, size in data.sizes.items() if several and size >= MIN_ROWS)
        shared = harmonise.transfer_samples(data.laboratory, data.sample)
        most = max((len(samples) for samples in shared.values()), default=0)
        possible = {"none": True, "centre": several, "direct": most >= 5}
        if config.harmonise != "auto" and not possible[config.harmonise]:
            problem = f"harmonisation '{config.harmonise}' is not possible with these data"
            value = f"{len(data.sizes)} laboratories, at most {most} samples that two of them share"
            remedy = "Give --harmonise none, or centre where there are several laboratories."
            raise DataError(problem, source=data.library.name, value=value, remedy=remedy)
        methods = tuple(m for m in dict.fromkeys((*config.compare, config.harmonise)) if possible.get(m))
        return cls(data, config, fold, held, methods, harmonise.best_reference(shared))

    @property
    def method(self) -> str:
        """The harmonisation behind the product."""
        chosen = self.config.harmonise
        return ("direct" if "direct" in self.methods else "none") if chosen == "auto" else chosen

    @property
    def folds(self) -> list[HeldOut]:
        """The folds, in order."""
        return [HeldOut(RANDOM, str(number)) for number in range(self.config.folds)]

    @property
    def held_out(self) -> list[HeldOut]:
        """What is held out in turn: the folds, then the laboratories."""
        return self.folds + [HeldOut(LABORATORY, name) for name in self.laboratories]

    def trained(self, held: HeldOut) -> Mask:
        """Rows, (n,), that may train when a fold or laboratory is held out, measured or not."""
        if held.scheme == RANDOM:
            return (self.fold >= 0) & (self.fold != int(held.name))
        return self.data.laboratory != held.name

    def tested(self, held: HeldOut, target: str) -> Mask:
        """Held-out rows, (n,), with a measured value; of a laboratory none whose sample another one has."""
        measured = self.data.measured(target)
        if held.scheme != LABORATORY:
            return measured & (self.fold == (-1 if held == TEST_ROWS else int(held.name)))
        inside = self.data.laboratory == held.name
        return measured & inside & ~np.isin(self.data.sample, self.data.sample[~inside])

    def harmoniser(self, held: HeldOut | None, method: str) -> harmonise.Harmoniser:
        """The harmoniser while rows are held out (None: of all rows), fitted without labels.

        Of a laboratory that is held out it uses what it must, see :data:`LABORATORY_EXPOSURE`.
        """
        data = self.data
        rows = np.ones(len(data), bool) if held is None else self.trained(held)
        if held is not None and held.scheme == LABORATORY:
            inside = data.laboratory == held.name
            if method == "centre":
                rows = rows | inside
            elif method == "direct":
                rows = rows | (inside & np.isin(data.sample, data.sample[~inside]))
        names = data.laboratory[rows]
        if method == "centre":
            return harmonise.centre_and_scale(data.values[rows], names, min_rows=MIN_ROWS)
        if method == "direct":
            given = (data.values[rows], names, data.sample[rows])
            return harmonise.direct_standardisation(*given, reference=self.reference)
        return harmonise.no_harmonisation()

    def can_learn(self, held: HeldOut, target: str) -> bool:
        """Whether enough measured rows of a property are left to learn from while rows are held out."""
        left = int((self.data.measured(target) & self.trained(held)).sum())
        return held.scheme == RANDOM or left >= MIN_TRAIN // 2

    def training_rows(self, held: HeldOut | None, target: str, values: Floats) -> TrainingRows:
        """What trains for a property while rows are held out (None: nothing is), by (n, m) harmonised spectra."""
        measured = self.data.measured(target)
        rows = np.flatnonzero(measured if held is None else measured & self.trained(held))
        if rows.size < MIN_TRAIN // 2:
            problem = "too few measured rows are left to learn from"
            value = f"{rows.size} rows without {'' if held is None else held.name}"
            remedy = "Use fewer folds, or leave the property out of the targets."
            raise DataError(problem, source=self.data.library.name, column=target, value=value, remedy=remedy)
        components, alpha = self.config.pca_components, self.config.outlier_alpha
        strict = SpectralSpace.fit(values[rows], components, alpha, rounds=2)
        gone = strict.judge(values[rows]).outside
        kept = rows[~gone] if (~gone).sum() >= MIN_TRAIN // 2 else rows
        space = SpectralSpace.fit(values[kept], components, self.config.flag_alpha)
        # No sample is on both sides; a power of two lets folds of about one size share compiled programs.
        wanted = 2 ** int(np.log2(max(WATCH_SHARE * kept.size, 1.0)))
        rng = np.random.default_rng([self.config.seed, kept.size])
        watch, train = take_rows(self.data.sample[kept], wanted, rng)
        return TrainingRows(kept[train], kept[watch], np.setdiff1d(rows, kept), space)
