"""The doctor's statistics by hand: laterality, level differences, agreement, registration, and flat tops."""

import numpy as np
import pytest

from echodepth.apps.doctor.ear_order import EDGES, agreements, laterality, level_differences
from echodepth.apps.doctor.registration import match_edges
from echodepth.apps.doctor.row_checks import flat_samples
from echodepth.data.images import DepthMap


def room_with_a_near_left_half() -> DepthMap:
    metres = np.full((32, 32), 5.2)
    metres[:, :16] = 2.2
    return DepthMap(metres, np.ones_like(metres, dtype=bool))


def test_a_near_left_half_has_left_laterality() -> None:
    sides, share = laterality(room_with_a_near_left_half())
    near, far = (int(np.digitize(metres, EDGES)) - 1 for metres in (2.4, 5.6))
    assert sides[near] > 0.2
    assert sides[far] < -0.15
    assert share.sum() == pytest.approx(1)


def test_an_echo_louder_on_the_left_has_a_positive_level_difference_at_its_distance() -> None:
    rng = np.random.default_rng(0)
    audio = 1e-4 * rng.normal(size=(2, 9000))
    at = 300 + round(2 * 3.2 / 340 * 44100)
    burst = rng.normal(size=80)
    audio[0, at : at + 80] += burst
    audio[1, at : at + 80] += burst / 10
    sides = level_differences(audio, 300)
    louder = int(np.digitize(3.2, EDGES)) - 1
    assert sides[louder] == pytest.approx(2 * np.log(10), abs=0.3)  # energies: 20 dB
    assert np.argmax(sides) == louder
    assert np.isnan(level_differences(audio[:, :2000], 300)[-1])


def test_swapping_the_ears_negates_the_agreement() -> None:
    rng = np.random.default_rng(0)
    predicted, share = rng.normal(size=(20, 11)), np.full((20, 11), 1 / 11)
    differences = predicted + 0.5 * rng.normal(size=(20, 11))
    straight, swapped = (agreements(sign * differences, predicted, share) for sign in (1, -1))
    assert straight.mean() > 0.7
    # But for the even number's median, exactly.
    assert np.allclose(straight, -swapped)
    # A constant channel gain has no effect.
    assert np.allclose(agreements(differences + 3.0, predicted, share), straight)


def test_edges_that_are_moved_peak_where_they_were_moved_to() -> None:
    rng = np.random.default_rng(0)
    metres = np.full((64, 64), 4.0)
    for _ in range(12):
        top, left = rng.integers(4, 50, 2)
        metres[top : top + 9, left : left + 9] = rng.uniform(1, 3)
    picture = np.stack([1 / metres] * 3)
    depth = DepthMap(metres, np.ones((64, 64), dtype=bool))
    middle = 64 // 6
    for down, right in ((0, 0), (0, 5), (-3, 2)):
        match = match_edges(np.roll(picture, (down, right), (1, 2)), depth)
        assert match is not None
        peak = [int(place) for place in np.unravel_index(match.straight.argmax(), match.straight.shape)]
        assert (peak[0] - middle, peak[1] - middle) == (down, right)
    match = match_edges(picture[:, :, ::-1], depth)
    assert match is not None
    assert match.mirrored[middle, middle] > 0.9 > match.straight.max() + 0.3
    assert match_edges(np.zeros((3, 64, 64)), depth) is None


def test_flat_tops_are_counted_and_a_sine_has_none() -> None:
    wave = np.sin(np.arange(2000) / 7.0)
    assert flat_samples(np.stack([wave, wave])) == 0
    clipped = 0.5 * np.clip(2 * wave, -1, 1)  # turned down after it
    assert flat_samples(np.stack([wave, clipped])) > 500
    assert flat_samples(np.zeros((2, 100))) == 0
