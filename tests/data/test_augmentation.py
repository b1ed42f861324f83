"""Augmentation: mirrored rooms swap the ears, colours stay colours, both ears lose the same bands."""

import numpy as np
import pytest
import torch
from torch import Tensor

from echodepth.data.augmentation import color_jitter, flip_left_right, mask_spectrogram, random_flip
from echodepth.data.sample import Sample


def batch(size: int = 3) -> Sample:
    depth = torch.rand(size, 1, 4, 5)
    sample = Sample(image=torch.rand(size, 3, 4, 5), audio=torch.randn(size, 2, 7), depth=depth, valid=depth > 0.3)
    sample["name"] = [f"Attic/{number}" for number in range(size)]  # type: ignore[typeddict-item]
    return sample


def test_a_flip_mirrors_sight_and_swaps_the_ears() -> None:
    one = Sample(
        image=torch.arange(6.0).view(1, 3, 1, 2),
        audio=torch.tensor([[[1.0, 2.0], [3.0, 4.0]]]),
        depth=torch.tensor([[[[5.0, 6.0]]]]),
        valid=torch.tensor([[[[True, False]]]]),
    )
    flipped = flip_left_right(one, torch.tensor([True]))
    assert flipped["image"].flatten().tolist() == [1, 0, 3, 2, 5, 4]
    assert flipped["audio"].tolist() == [[[3, 4], [1, 2]]]  # ears exchanged, time untouched
    assert flipped["depth"].tolist() == [[[[6, 5]]]]
    assert flipped["valid"].tolist() == [[[[False, True]]]]


def test_only_the_chosen_samples_are_flipped_and_the_input_stays() -> None:
    original = batch()
    kept = {key: original[key].clone() for key in ("image", "audio", "depth", "valid")}
    flipped = flip_left_right(original, torch.tensor([False, True, False]))
    for key in ("image", "audio", "depth", "valid"):
        assert torch.equal(original[key], kept[key])
        assert torch.equal(flipped[key][[0, 2]], original[key][[0, 2]])
        assert not torch.equal(flipped[key][1], original[key][1])
    assert flipped["name"] == original["name"]


def test_a_batch_says_which_of_its_samples_are_mirrored() -> None:
    once = flip_left_right(batch(), torch.tensor([False, True, True]))
    assert once["mirrored"].tolist() == [False, True, True]
    assert flip_left_right(once, torch.tensor([False, True, False]))["mirrored"].tolist() == [False, False, True]


def test_flipping_twice_changes_nothing() -> None:
    original, flip = batch(), torch.tensor([True, False, True])
    twice = flip_left_right(flip_left_right(original, flip), flip)
    for key in ("image", "audio", "depth", "valid"):
        assert torch.equal(twice[key], original[key])


@pytest.mark.parametrize("part", ["image", "audio"])
def test_absent_parts_stay_absent(part: str) -> None:
    original = batch()
    small = Sample(image=original["image"]) if part == "image" else Sample(audio=original["audio"])
    assert {*random_flip(small)} == {part, "mirrored"}


def test_half_of_the_samples_are_flipped_whole() -> None:
    original = batch(400)
    flipped = random_flip(original, torch.Generator().manual_seed(1))
    ears = (flipped["audio"] != original["audio"]).any(dim=(1, 2))
    sight = (flipped["depth"] != original["depth"]).any(dim=(1, 2, 3))
    assert torch.equal(ears, sight)
    assert 160 < int(ears.sum()) < 240


def test_the_global_seed_or_the_generator_decides() -> None:
    original, spectrogram = batch(20), torch.randn(20, 2, 16, 16)

    def drawn(generator: torch.Generator | None) -> list[Tensor]:
        return [
            random_flip(original, generator)["audio"],
            color_jitter(original["image"], 0.3, generator),
            mask_spectrogram(spectrogram, 2, 0.3, generator),
        ]

    torch.manual_seed(3)
    first = drawn(None)
    torch.manual_seed(3)
    state = torch.get_rng_state()
    own = drawn(torch.Generator().manual_seed(3))
    assert torch.equal(torch.get_rng_state(), state)
    for again in (own, drawn(None)):
        assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))


def test_no_strength_changes_no_colour() -> None:
    image = torch.rand(4, 3, 6, 6)
    assert torch.allclose(color_jitter(image, 0.0), image, atol=1e-6)


def test_colours_stay_in_range_and_differ_by_sample() -> None:
    image = torch.rand(1, 3, 6, 6).repeat(8, 1, 1, 1)
    jittered = color_jitter(image, 1.0)
    assert 0 <= float(jittered.min()) <= float(jittered.max()) <= 1
    assert len({float(sample.mean()) for sample in jittered}) == 8


def test_gray_stays_gray_and_black_stays_black() -> None:
    gray = torch.rand(5, 1, 6, 6).expand(5, 3, 6, 6)
    jittered = color_jitter(gray, 0.8)
    assert torch.allclose(jittered[:, :1].expand_as(jittered), jittered, atol=1e-6)
    assert float(color_jitter(torch.zeros(5, 3, 6, 6), 0.8).max()) == 0


def test_brightness_scales_a_flat_image_within_its_strength() -> None:
    flat = torch.full((200, 3, 4, 4), 0.5)  # nothing for contrast or saturation to change
    ratio = color_jitter(flat, 0.2)[:, 0, 0, 0] / 0.5
    assert 0.8 <= float(ratio.min()) < 0.85
    assert 1.15 < float(ratio.max()) <= 1.2 + 1e-6


@pytest.mark.parametrize("strength", [-0.1, 1.5])
def test_a_strength_out_of_range_is_named(strength: float) -> None:
    with pytest.raises(ValueError, match=rf"strength is {strength}: give a number from 0 to 1"):
        color_jitter(torch.rand(1, 3, 2, 2), strength)


def hidden(spectrogram: Tensor, masked: Tensor) -> Tensor:
    return masked != spectrogram


def test_both_ears_lose_the_same_bands_whole() -> None:
    spectrogram = torch.randn(30, 4, 40, 50)
    gone = hidden(spectrogram, mask_spectrogram(spectrogram, 1, 0.3))
    assert torch.equal(gone.all(dim=1), gone.any(dim=1))
    rows, columns = gone[:, 0].all(dim=2), gone[:, 0].all(dim=1)
    assert torch.equal(gone[:, 0], rows[:, :, None] | columns[:, None, :])
    # One band each, nowhere wider than 0.3 of its axis, and not always of one width.
    for axis, size in ((rows, 40), (columns, 50)):
        widths = axis.sum(dim=1)
        assert int(widths.max()) <= 0.3 * size + 1
        assert len(set(widths.tolist())) > 5
        starts = (axis[:, 1:] & ~axis[:, :-1]).sum(dim=1) + axis[:, 0]
        assert int(starts.max()) == 1


def test_what_is_hidden_takes_its_own_samples_and_channels_mean() -> None:
    spectrogram = torch.randn(8, 2, 30, 30) + torch.tensor([3.0, -3.0]).view(1, 2, 1, 1)
    masked = mask_spectrogram(spectrogram, 2, 0.4)
    means = spectrogram.mean(dim=(2, 3), keepdim=True).expand_as(masked)
    gone = hidden(spectrogram, masked)
    assert gone.any()
    assert torch.equal(masked[gone], means[gone])


def test_a_samples_mask_does_not_depend_on_the_others_content() -> None:
    spectrogram = torch.randn(4, 2, 16, 16)
    other = spectrogram.clone()
    other[1:] += 100
    a, b = (mask_spectrogram(x, 2, 0.3, torch.Generator().manual_seed(2)) for x in (spectrogram, other))
    assert torch.equal(a[0], b[0])


@pytest.mark.parametrize(("masks", "width"), [(0, 0.5), (3, 0.0)])
def test_no_mask_hides_nothing(masks: int, width: float) -> None:
    spectrogram = torch.randn(2, 2, 16, 16)
    assert torch.equal(mask_spectrogram(spectrogram, masks, width), spectrogram)


def test_senseless_masks_are_named() -> None:
    with pytest.raises(ValueError, match="masks is -1"):
        mask_spectrogram(torch.zeros(1, 2, 4, 4), -1)
    with pytest.raises(ValueError, match=r"width is 1\.5"):
        mask_spectrogram(torch.zeros(1, 2, 4, 4), 1, 1.5)


def test_colours_are_those_of_numpy() -> None:
    image = torch.rand(3, 3, 4, 5, generator=torch.Generator().manual_seed(1))
    found = color_jitter(image, 0.9, torch.Generator().manual_seed(2))
    draws = torch.rand(3, 3, 1, 1, 1, generator=torch.Generator().manual_seed(2)).double().numpy()
    for sample in range(3):
        brightness, contrast, saturation = (1 + 0.9 * (2 * float(draws[i, sample].item()) - 1) for i in range(3))
        rgb = np.clip(image[sample].double().numpy() * brightness, 0, 1)
        luma = np.array([0.299, 0.587, 0.114]).reshape(3, 1, 1)
        mean = (rgb * luma).sum(axis=0).mean()
        rgb = np.clip(mean + contrast * (rgb - mean), 0, 1)
        gray = (rgb * luma).sum(axis=0)
        rgb = np.clip(gray + saturation * (rgb - gray), 0, 1)
        np.testing.assert_allclose(found[sample].numpy(), rgb, atol=1e-5)


def test_masks_are_those_of_numpy() -> None:
    spectrogram = torch.randn(6, 2, 30, 40)
    found = mask_spectrogram(spectrogram, 2, 0.25, torch.Generator().manual_seed(3)) != spectrogram
    generator = torch.Generator().manual_seed(3)
    expected = np.zeros((6, 30, 40), dtype=bool)
    for axis, size in ((1, 30), (2, 40)):
        lengths, starts = (torch.rand(6, 2, 1, generator=generator).numpy() for _ in range(2))
        for sample in range(6):
            for mask in range(2):
                length = lengths[sample, mask, 0] * 0.25 * size
                start = starts[sample, mask, 0] * (size - length)
                for place in range(size):
                    if start <= place + 0.5 < start + length:  # the centre of a row or column
                        expected[sample].swapaxes(0, axis - 1)[place] = True
    assert expected.any()
    np.testing.assert_array_equal(found[:, 0].numpy(), expected)
    np.testing.assert_array_equal(found[:, 1].numpy(), expected)


def test_the_ends_of_every_range_are_allowed() -> None:
    generator = torch.Generator().manual_seed(0)
    widest = mask_spectrogram(torch.randn(50, 1, 20, 20), 1, generator=generator)
    for axis in (1, 2):
        masked = (widest == widest[:, :, :1, :1]).squeeze(1)
        assert int(masked.all(dim=axis).sum(dim=1).max()) <= 2  # a tenth of the axis, unless it is told
    for width in (0.0, 1.0):
        mask_spectrogram(torch.randn(1, 1, 8, 8), 1, width)
    for wrong in (-0.01, 1.01):
        with pytest.raises(ValueError, match=f"width is {wrong}"):
            mask_spectrogram(torch.randn(1, 1, 8, 8), 1, wrong)
    for strength in (0.0, 1.0):
        color_jitter(torch.rand(1, 3, 2, 2), strength)


def test_channels_of_each_ear_are_exchanged_as_a_block() -> None:
    spectrogram = torch.arange(4.0).view(1, 4, 1, 1).expand(2, 4, 3, 3)
    flipped = flip_left_right({"spectrogram": spectrogram}, torch.tensor([True, False]))
    assert flipped["spectrogram"][:, :, 0, 0].tolist() == [[2, 3, 0, 1], [0, 1, 2, 3]]
    assert flipped["mirrored"].tolist() == [True, False]
