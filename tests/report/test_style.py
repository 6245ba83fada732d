"""Shared parts of figures: panels, legends, ticks, error bars."""

import numpy as np
import pytest
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from jaxsoil.report import style
from jaxsoil.report.style import GREY, WIDTH, Look


@pytest.mark.parametrize(("count", "rows", "columns"), [(1, 1, 1), (2, 1, 2), (3, 1, 3), (5, 2, 3), (7, 3, 3)])
def test_a_grid_has_exactly_its_panels_and_outer_labels(count: int, rows: int, columns: int) -> None:
    figure, axes = style.grid(count, panel=2.0, extra=0.5, xlabel="x", ylabel="y", sharex=True, sharey=True)
    assert axes.shape == (count,) and figure.axes == axes.tolist()
    width, height = figure.get_size_inches()
    assert width == pytest.approx(WIDTH if columns > 1 else 0.6 * WIDTH)
    assert height == pytest.approx(0.5 + 2.0 * rows)
    below = [axis.get_xlabel() == "x" for axis in axes]
    assert sum(below) == columns and all(below[-columns:])
    assert [axis.get_ylabel() == "y" for axis in axes] == [place % columns == 0 for place in range(count)]
    figure.draw_without_rendering()
    # The lowest panel of a column shows its numbers, also where the row below is not full; the others do not.
    assert [axis.xaxis.get_tick_params()["labelbottom"] for axis in axes] == below


def test_a_legend_shows_looks_and_artists_in_order() -> None:
    figure, axes = style.grid(1)
    looks = {"a": Look("A", "#111111", "o"), "b": Look("B", GREY, line="--"), "c": Look("C", GREY, "D", filled=False)}
    shown = style.legend(figure, [*looks.values(), Patch(color="red", label="failure")], size=4.0, title="Models")
    assert [text.get_text() for text in shown.get_texts()] == ["A", "B", "C", "failure"]
    assert shown.get_title().get_text() == "Models"
    first, second, third = (item for item in shown.legend_handles if isinstance(item, Line2D))
    assert (first.get_marker(), first.get_linestyle(), first.get_markersize()) == ("o", "None", 4.0)
    assert (second.get_marker(), second.get_linestyle()) == ("", "--")
    assert third.get_markerfacecolor() == "white" and first.get_markerfacecolor() == "#111111"
    assert len(style.legend(axes[0], looks, place="lower right").get_texts()) == 3


def test_a_legend_collects_each_label_of_all_panels_once() -> None:
    figure, axes = style.grid(2)
    axes[0].plot([0, 1], label="one")
    axes[1].plot([0, 1], label="one")
    axes[1].plot([1, 0], label="two")
    axes[1].plot([1, 1])
    assert [text.get_text() for text in style.legend(figure).get_texts()] == ["one", "two"]
    assert [text.get_text() for text in style.legend(axes[0], place="best").get_texts()] == ["one"]


@pytest.mark.parametrize("letters", [5, 20, 45, 120])
def test_a_legend_stays_within_the_figure(letters: int) -> None:
    figure, _ = style.grid(3)
    shown = style.legend(figure, [Look("m" if letters > 100 else "n" * letters, GREY, "o") for _ in range(6)])
    figure.draw_without_rendering()
    box = shown.get_window_extent()
    assert box.x0 >= 0.0 and box.x1 <= figure.bbox.x1


@pytest.mark.parametrize(("low", "high", "inside"), [
    (0.01, 100.0, [0.1, 1.0, 10.0]), (1.0, 30.0, [1.0, 2.0, 5.0, 10.0, 20.0]), (0.8, 2.4, [1.0, 1.5, 2.0]),
])  # fmt: skip
def test_log_ticks_are_few_and_written_out(low: float, high: float, inside: list[float]) -> None:
    figure, axes = style.grid(1)
    axes[0].set(xscale="log", xlim=(low, high))
    style.log_ticks(axes[0].xaxis)
    figure.draw_without_rendering()
    shown = [tick.get_loc() for tick in axes[0].xaxis.get_major_ticks() if low <= tick.get_loc() <= high]
    assert set(np.round(inside, 6)) <= set(np.round(shown, 6)) and len(shown) <= 6
    texts = axes[0].xaxis.get_major_formatter().format_ticks([0.1, 1.0, 100.0])
    assert texts == ["0.1", "1", "100"]
    assert not len(axes[0].xaxis.get_minorticklocs())


def test_inner_log_ticks_keep_away_from_the_ends() -> None:
    _, axes = style.grid(1)
    axes[0].set(xscale="log", xlim=(0.009, 110.0))
    style.log_ticks(axes[0].xaxis, inner=True)
    np.testing.assert_allclose(axes[0].xaxis.get_majorticklocs(), [0.1, 1.0, 10.0])


def test_points_have_bars_where_the_error_is_known() -> None:
    _, axes = style.grid(1)
    look = Look("A", "#0072B2", "s")
    style.points(axes[0], [1.0, 2.0], [3.0, 4.0], look, xerr=[0.5, np.nan], trusted=False)
    (container,) = axes[0].containers
    line, _, (bars,) = container
    assert line.get_markerfacecolor() == "white" and line.get_linestyle() == "None"
    np.testing.assert_allclose([segment[:, 0] for segment in bars.get_segments()], [[0.5, 1.5], [2.0, 2.0]])
    style.points(axes[0], 1.0, 2.0, look, yerr=[[0.1], [0.3]])
    segment = axes[0].containers[1][2][0].get_segments()[0]
    np.testing.assert_allclose(segment[:, 1], [1.9, 2.3])


def test_bands_names_and_corners() -> None:
    figure, axes = style.grid(1)
    axis = axes[0]
    style.band(axis, [0, 1], [0, 0], [1, 1], [2, 2], Look("A", GREY, line="--"))
    assert axis.lines[0].get_label() == "A" and axis.lines[0].get_linestyle() == "--"
    style.names_axis(axis, ["first", "second"])
    bottom, top = axis.get_ylim()
    assert bottom > top and [text.get_text() for text in axis.get_yticklabels()] == ["first", "second"]
    style.corner_text(axis, "here", "lower right", fontsize=6.0)
    figure.draw_without_rendering()
    box, panel = axis.texts[0].get_window_extent(), axis.get_window_extent()
    assert box.x0 > panel.x0 + 0.5 * panel.width and box.y1 < panel.y0 + 0.5 * panel.height


def test_the_free_corner_is_the_one_without_points() -> None:
    _, axes = style.grid(1)
    axes[0].set(xlim=(0, 1), ylim=(0, 1))
    assert style.free_corner(axes[0], [0.1, 0.2], [0.9, 0.8]) == "lower right"
    assert style.free_corner(axes[0], [0.9, 0.8], [0.1, 0.2]) == "upper left"


def test_shifts_and_short_names() -> None:
    assert style.shifts(1, 0.2) == [0.0]
    np.testing.assert_allclose(style.shifts(3, -0.2), [0.2, 0.0, -0.2])
    assert style.shortened("a$b", 5) == r"a\$b" and style.shortened("abcdef", 4) == "abc…"
