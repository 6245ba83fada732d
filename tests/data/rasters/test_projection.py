"""Points in another system, against the closed form of Web Mercator and Krüger's series of the transverse one."""

from __future__ import annotations

import numpy as np
import pytest

from jaxsoil.data.rasters.projection import geographic, projected_points
from jaxsoil.runs.errors import DataError

AXIS, FLATTENING = 6_378_137.0, 1.0 / 298.257223563  # of WGS 84, m


def utm(longitude: np.ndarray, latitude: np.ndarray, zone: int) -> tuple[np.ndarray, np.ndarray]:
    """Easting and northing, m, north of the equator (Karney 2011, J. Geodesy 85, 475: eqs. 7 to 11, third order)."""
    n, e = FLATTENING / (2.0 - FLATTENING), np.sqrt(FLATTENING * (2.0 - FLATTENING))
    radius = AXIS / (1.0 + n) * (1.0 + n**2 / 4.0 + n**4 / 64.0)
    alphas = (
        n / 2.0 - 2.0 * n**2 / 3.0 + 5.0 * n**3 / 16.0, 13.0 * n**2 / 48.0 - 3.0 * n**3 / 5.0, 61.0 * n**3 / 240.0,
    )  # fmt: skip
    sine, away = np.sin(np.radians(latitude)), np.radians(longitude - (6.0 * zone - 183.0))
    t = np.sinh(np.arctanh(sine) - e * np.arctanh(e * sine))
    xi, eta = np.arctan2(t, np.cos(away)), np.arcsinh(np.sin(away) / np.hypot(t, np.cos(away)))
    orders = [(2.0 * j, alpha) for j, alpha in enumerate(alphas, start=1)]
    north = xi + sum(alpha * np.sin(j * xi) * np.cosh(j * eta) for j, alpha in orders)
    east = eta + sum(alpha * np.cos(j * xi) * np.sinh(j * eta) for j, alpha in orders)
    return 500_000.0 + 0.9996 * radius * east, 0.9996 * radius * north


def test_points_are_where_the_formulas_put_them() -> None:
    longitude, latitude = np.array([21.0, 18.5, 23.9, 20.25]), np.array([52.0, 0.5, 44.1, 70.0])
    east, north = projected_points(longitude, latitude, "EPSG:4326", "EPSG:32634")
    np.testing.assert_allclose((east, north), utm(longitude, latitude, 34), atol=0.002)
    assert east[0] == pytest.approx(500_000.0, abs=1e-6)  # on the central meridian
    back = projected_points(east, north, "EPSG:32634", "EPSG:4326")
    np.testing.assert_allclose(back, (longitude, latitude), atol=1e-8)
    east, north = projected_points(longitude, latitude, "EPSG:4326", "EPSG:3857")
    expected = AXIS * np.radians(longitude), AXIS * np.arctanh(np.sin(np.radians(latitude)))
    np.testing.assert_allclose((east, north), expected, rtol=1e-9)


def test_missing_points_stay_missing_and_an_unknown_system_is_refused() -> None:
    east, north = projected_points(np.array([np.nan, 21.0]), np.array([52.0, 52.0]), "EPSG:4326", "EPSG:32634")
    assert np.isnan([east[0], north[0]]).all() and np.isfinite([east[1], north[1]]).all()
    nowhere = projected_points(np.full(2, np.nan), np.zeros(2), "EPSG:4326", "EPSG:32634")
    assert np.isnan(nowhere).all()
    assert geographic("EPSG:4326") and not geographic("EPSG:32634")
    with pytest.raises(DataError, match=r"not known.*EPSG:32634"):
        projected_points(np.zeros(1), np.zeros(1), "EPSG:4326", "the moon")
