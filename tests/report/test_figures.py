"""Figures: what is drawn, in which order, and that drawing leaves nothing behind."""

from typing import Any

import matplotlib
import numpy as np
import pytest
from matplotlib.text import Text

from jaxsoil.report import figures
from jaxsoil.report.style import Look, looks, save

RNG = np.random.default_rng(2)
LOOKS = looks({"plsr": "PLSR", "ann": "ANN"}, order=("plsr", "none", "ann"))


def panels(count):
    return [
        figures.ScatterPanel(f"region {index}", RNG.lognormal(size=30), RNG.lognormal(size=30), "CCC 0.5\nn = 30")
        for index in range(count)
    ]


def drawn_texts(figure: Any) -> list[Any]:
    """Texts that a reader sees; matplotlib also keeps tick labels outside the limits, which it does not draw."""
    axes = [axis for axis in figure.axes if axis.get_visible()]
    hidden = set()
    for side in (side for axis in axes for side in (axis.xaxis, axis.yaxis)):
        low, high = sorted(side.get_view_interval())
        outside = [tick for tick in side.get_major_ticks() if not low <= tick.get_loc() <= high]
        hidden |= {id(label) for tick in outside for label in (tick.label1, tick.label2)}
    texts = figure.findobj(Text)
    texts = [t for t in texts if t.get_visible() and t.get_text().strip() and id(t) not in hidden]
    return [t for t in texts if t.axes is None or t.axes in axes]


def overlapping(figure: Any) -> list[tuple[str, str]]:
    """Pairs of texts whose boxes intersect."""
    figure.draw_without_rendering()
    boxes = [(t.get_text(), t.get_window_extent().shrunk(0.96, 0.9)) for t in drawn_texts(figure)]
    return [
        (first, second)
        for place, (first, a) in enumerate(boxes)
        for second, b in boxes[place + 1 :]
        if a.overlaps(b) and a.width > 0 and b.width > 0
    ]


def test_looks_keep_their_colour_whatever_else_is_shown():
    assert LOOKS["ann"] == looks({"ann": "ANN"}, order=("plsr", "none", "ann"))["ann"]
    assert isinstance(LOOKS["plsr"], Look) and LOOKS["plsr"].color != LOOKS["ann"].color
    assert set(looks({"new": "New"}, order=("plsr",))) == {"new"}


@pytest.mark.parametrize("count", [1, 8, 10, 17])
def test_scatter_has_a_panel_for_each_region_and_no_overlapping_text(count):
    figure = figures.predicted_vs_observed(panels(count), title="PLSR", color="#000000", floor=0.01)
    shown = [axis for axis in figure.axes if axis.get_visible()]
    assert [axis.get_title(loc="left") for axis in shown] == [f"region {index}" for index in range(count)]
    limits = {(axis.get_xlim(), axis.get_ylim()) for axis in shown}
    assert len(limits) == 1 and shown[0].get_xlim() == shown[0].get_ylim()
    box = shown[0].get_window_extent()
    assert box.width == pytest.approx(box.height, rel=0.02)
    assert not overlapping(figure)


def test_scatter_draws_values_outside_at_the_edge_and_survives_nan():
    odd = figures.ScatterPanel("a", [1.0, 2.0, 3.0, 4.0], [-1.0, 1e9, np.nan, np.inf])
    figure = figures.predicted_vs_observed([odd], title="t", color="#000000", floor=0.01)
    drawn = np.asarray(figure.axes[0].collections[0].get_offsets(), dtype=float)[:, 1]
    np.testing.assert_allclose(drawn[[0, 1, 3]], [0.01, 100.0, 100.0])
    nothing = figures.ScatterPanel("a", [1.0], [np.nan])
    figures.predicted_vs_observed([nothing], title="t", color="#000000", floor=0.01)


def dots():
    return [
        figures.Dot("plsr", "low", (0.1,)),
        figures.Dot("ann", "low", (-3.0, -2.0), trusted=False),
        figures.Dot("plsr", "high", (0.9,)),
        figures.Dot("ann", "high", (0.8, 0.7)),
        figures.Dot("plsr", "none", (float("nan"),)),
        figures.Dot("ann", "none", (float("nan"), float("nan"))),
    ]


def test_regions_are_sorted_and_open_markers_tell_the_untrusted():
    figure = figures.metric_by_region(dots(), LOOKS, label="CCC", lower=-0.2)
    axis = figure.axes[0]
    assert [label.get_text() for label in axis.get_yticklabels()] == ["mean", "none", "low", "high"]
    assert "undefined" in [text.get_text() for text in axis.texts]
    lines: list[Any] = list(axis.lines)
    low_ann = [line for line in lines if line.get_marker() == "<"]
    assert low_ann and all(line.get_xdata()[0] == -0.2 for line in low_ann)
    assert low_ann[0].get_markerfacecolor() == "white"
    assert "not converged" in [text.get_text() for text in figure.legends[0].get_texts()]
    assert not overlapping(figure)


def test_long_and_mathematical_names_are_text():
    name = "$\\frac{" + "x" * 60
    figure = figures.metric_by_region([figures.Dot("plsr", name, (0.5,))], LOOKS, label="CCC")
    figure.draw_without_rendering()


@pytest.mark.parametrize(("count", "unit"), [(1, "nm"), (4, "cm-1"), (6, "nm")])
def test_reconstructions(count, unit):
    axis = np.linspace(400.0, 2500.0, 50)
    observed = np.linspace(0.2, 0.5, 50)
    examples = [
        figures.Reconstruction(f"region {i}", observed, {"ann": observed + 0.01, "plsr": np.full(50, np.nan)})
        for i in range(count)
    ]
    figure = figures.reconstructions(axis, examples, LOOKS, unit=unit)
    assert len(figure.axes) == 2 * count
    texts = {text.get_text() for text in figure.axes[0].texts}
    assert texts == {"RMSE (%):", "1.00", "diverged"}
    # No text lies on a spectrum: all stand above the panel.
    assert all(text.get_position()[1] > 1.0 for text in figure.axes[0].texts)
    assert figure.axes[-1].get_xlabel() == figures.AXIS_LABELS[unit]
    assert not overlapping(figure)


def test_saved_bytes_repeat_and_settings_stay(tmp_path):
    before = dict(matplotlib.rcParams)
    paths = []
    for name in ("a", "b"):
        figure = figures.metric_by_region(dots(), LOOKS, label="CCC")
        paths.append(save(figure, tmp_path / "figures", name, formats=("png", "pdf")))
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert paths[0].with_suffix(".pdf").read_bytes() == paths[1].with_suffix(".pdf").read_bytes()
    assert dict(matplotlib.rcParams) == before
