"""The sky: the hour is in it, stars do not depend on the band, nothing is out of range."""

import numpy as np
import pytest
import torch

from stale_diffusion.dreamscapes import light
from stale_diffusion.dreamscapes.place import View, in_bands


def render(hour: float, cloud: float, width: int = 96, height: int = 54) -> torch.Tensor:
    lit, camera = light.light_at(hour, 0.53, cloud, 0.2), light.Camera(2, 2.0, -0.4, 0.1)
    return in_bands(View.whole(width, height), lambda band: light.sky(lit, *camera.slopes(band), 1.0, 0.0, 3), 1000)


@pytest.mark.parametrize("cloud", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("hour", [0.0, 0.2, 0.24, 0.27, 0.5, 0.76])
def test_sky_is_finite_and_light(hour: float, cloud: float) -> None:
    image = render(hour, cloud)
    assert image.shape == (54, 96, 3)
    assert torch.isfinite(image).all()
    assert float(image.min()) >= 0


def test_day_is_brighter_than_dusk_and_dusk_than_night() -> None:
    night, dusk, noon = (float(render(hour, 0.3).median()) for hour in (0.0, 0.77, 0.5))
    assert 2 * night < dusk < noon


def test_sky_is_blue_at_noon_and_red_in_the_west_at_sunset() -> None:
    noon, sunset = render(0.5, 0.0), render(0.752, 0.0)
    assert float(noon[0, :, 2].mean()) > 2 * float(noon[0, :, 0].mean())
    assert float(sunset[36, :, 0].mean()) > 1.4 * float(sunset[36, :, 2].mean())


def test_bands_do_not_show() -> None:
    lit, camera = light.light_at(0.0, 0.53, 0.1, 0.0), light.Camera(2, 2.0, -0.4, 0.1)
    whole = light.sky(lit, *camera.slopes(View.whole(96, 54)), 1.0, 0.0, 3)
    assert torch.allclose(whole, render_night(), atol=1e-4)


def render_night() -> torch.Tensor:
    lit, camera = light.light_at(0.0, 0.53, 0.1, 0.0), light.Camera(2, 2.0, -0.4, 0.1)
    return in_bands(View.whole(96, 54), lambda band: light.sky(lit, *camera.slopes(band), 1.0, 0.0, 3), 700)


def test_elevation_and_part_of_day_agree() -> None:
    assert light.elevation(0.25) == pytest.approx(0, abs=1e-9)
    assert light.elevation(0.5) == pytest.approx(58)
    assert [light.part_of_day(h) for h in (0.0, 0.25, 0.35, 0.5, 0.6, 0.74, 0.9)] == [
        "night", "dawn", "morning", "noon", "afternoon", "dusk", "night",
    ]  # fmt: skip


def test_the_sun_stands_where_its_azimuth_says() -> None:
    right = light.light_at(0.5, 0.75, 0.0, 0.0).toward
    assert right[0] > 0.5
    assert np.hypot(np.hypot(*right[:2]), right[2]) == pytest.approx(1)
