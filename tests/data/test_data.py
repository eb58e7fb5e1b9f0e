"""Splits and batches: disjoint, seeded, stratified, and functions of (seed, epoch) alone."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from sklearn.datasets import load_digits

from nas.data import ImageData, Split
from nas.data.digits import digits
from nas.data.images import fit, in_memory, limited, statistics, stratified
from nas.data.split import Place


def all_batches(split: Split, size: int = 64, **options) -> tuple[torch.Tensor, torch.Tensor]:
    return joined(split.batches(size, **options))


def joined(batches: Iterator[tuple[torch.Tensor, torch.Tensor]]) -> tuple[torch.Tensor, torch.Tensor]:
    images, labels = zip(*batches, strict=True)
    return torch.cat(images), torch.cat(labels)


@settings(deadline=None, max_examples=40)
@given(
    counts=st.lists(st.integers(2, 40), min_size=2, max_size=6),
    fraction=st.floats(0.05, 0.95),
    seed=st.integers(0, 99),
)
def test_stratified_parts_are_disjoint_complete_and_proportional(counts: list[int], fraction: float, seed: int) -> None:
    labels = np.repeat(np.arange(len(counts)), counts)
    first, second = stratified(labels, fraction, seed)
    assert sorted([*first, *second]) == list(range(len(labels)))
    assert not set(first) & set(second)
    for label, count in enumerate(counts):
        part = int((labels[first] == label).sum())
        assert 1 <= part <= count - 1
        if 1 <= fraction * count <= count - 1:
            assert abs(part - fraction * count) < 1
    again, _ = stratified(labels, fraction, seed)
    assert np.array_equal(first, again)


def test_stratified_depends_on_the_seed_and_refuses_what_it_cannot_divide() -> None:
    labels = np.repeat(np.arange(3), 50)
    assert not np.array_equal(stratified(labels, 0.8, 0)[0], stratified(labels, 0.8, 1)[0])
    assert len(stratified(np.repeat(np.arange(7), 11), 0.5, 0)[0]) == round(0.5 * 77)
    with pytest.raises(ValueError, match="between 0 and 1, got 1"):
        stratified(labels, 1.0, 0)
    with pytest.raises(ValueError, match="class 2 has 1 image"):
        stratified(np.array([0, 0, 1, 1, 2]), 0.5, 0)


def test_digits_is_what_it_was() -> None:
    """The split defines the data set: if it moves, published figures are of another one."""
    data = digits()
    assert (len(data.train), len(data.test), data.num_classes, data.in_channels, data.resolution) == (
        1348,
        449,
        10,
        1,
        16,
    )
    assert data.train.labels.bincount().tolist() == [134, 137, 133, 137, 136, 136, 136, 134, 130, 135]
    eight = digits(8)
    raw = torch.from_numpy(load_digits().images).float()
    pixels = joined(eight.test.in_order(64))[0] * eight.test.std + eight.test.mean
    known = {tuple(image.flatten().round().int().tolist()) for image in raw}
    assert all(tuple(image.flatten().mul(16).round().int().tolist()) in known for image in pixels)


def test_train_and_test_share_no_image() -> None:
    data = digits(8)
    train, test = (part.source.images.flatten(1).numpy() for part in (data.train, data.test))  # type: ignore[attr-defined]
    assert not {row.tobytes() for row in train} & {row.tobytes() for row in test}


def test_normalised_by_the_training_images() -> None:
    whole = digits(8)
    images, _ = all_batches(whole.train)
    assert abs(float(images.mean())) < 1e-4
    assert abs(float(images.std(correction=0)) - 1) < 1e-4
    assert torch.equal(whole.test.mean, whole.train.mean)


def test_normalisation_does_not_depend_on_resolution_or_limit() -> None:
    stream = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (90, 1, 4, 4), dtype=torch.uint8, generator=stream)
    part = images, torch.arange(90) % 3
    made = [
        in_memory("mine", part, part, "abc", side, (limit, None)) for side, limit in ((4, None), (8, None), (4, 30))
    ]
    assert len({float(data.train.mean) for data in made}) == len({float(data.test.std) for data in made}) == 1


def test_held_out_never_shows_the_test_split(data: ImageData) -> None:
    searched = data.held_out(0.8, seed=3)
    train, held = set(searched.train.indices.tolist()), set(searched.test.indices.tolist())
    assert not train & held
    assert train | held == set(data.train.indices.tolist())
    assert searched.test.source is data.train.source
    assert len(train) == round(0.8 * len(data.train))


@pytest.mark.parametrize("augment", ["none", "crop_flip_erase", "zoom"])
def test_batches_are_functions_of_seed_and_epoch(data: ImageData, augment: str) -> None:
    def epoch(size: int, seed: int, number: int) -> tuple[torch.Tensor, torch.Tensor]:
        return all_batches(data.train, size, seed=seed, epoch=number, augment=augment)

    images, labels = epoch(64, 1, 2)
    torch.rand(7)  # the global generator plays no part
    again, same = epoch(17, 1, 2)  # nor does the batch size
    torch.testing.assert_close(images, again, rtol=0, atol=1e-6)
    assert torch.equal(labels, same)
    for seed, number in ((1, 3), (2, 2)):
        assert not torch.equal(labels, epoch(64, seed, number)[1])


def test_an_epoch_holds_every_image_once(data: ImageData) -> None:
    images, labels = all_batches(data.train, 50, seed=5)
    inorder, sorted_labels = joined(data.train.in_order(50))
    assert torch.equal(sorted_labels, data.train.labels)
    assert sorted(map(float, images.flatten(1).sum(1))) == pytest.approx(sorted(map(float, inorder.flatten(1).sum(1))))
    assert labels.bincount().tolist() == sorted_labels.bincount().tolist()
    assert data.train.num_batches(50) == 5 == len(list(data.train.batches(50)))
    assert data.train.num_batches(50, drop_last=True) == 4 == len(list(data.train.batches(50, drop_last=True)))
    assert [len(x) for x, _ in data.train.batches(999, drop_last=True)] == [240]


def test_processes_share_each_batch(data: ImageData) -> None:
    whole = list(data.train.batches(32, seed=1, epoch=1, augment="crop"))
    parts = [
        list(data.train.batches(32, seed=1, epoch=1, augment="crop", place=Place(rank=r, processes=2))) for r in (0, 1)
    ]
    for (images, labels), (a, la), (b, lb) in zip(whole, *parts, strict=True):
        assert torch.equal(labels[0::2], la)
        assert torch.equal(labels[1::2], lb)
        assert torch.equal(images[0::2], a)
        assert torch.equal(images[1::2], b)


def test_refused_batches(data: ImageData) -> None:
    with pytest.raises(ValueError, match="batch_size must be >= 1, got 0"):
        next(data.train.batches(0))
    with pytest.raises(ValueError, match=r"unknown augmentation 'spin'; one of none, flip"):
        next(data.train.batches(4, augment="spin"))


def test_statistics_are_those_of_numpy() -> None:
    images = torch.randint(0, 256, (50, 3, 7, 7), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    mean, std = statistics(images, chunk=16)
    values = images.numpy() / 255
    np.testing.assert_allclose(mean, values.mean((0, 2, 3)), rtol=1e-6)
    np.testing.assert_allclose(std, values.std((0, 2, 3)), rtol=1e-6)
    with pytest.raises(ValueError, match="all one colour"):
        statistics(torch.zeros(4, 1, 2, 2, dtype=torch.uint8))


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5])
def test_fit_resizes_each_channel_by_itself(channels: int) -> None:
    images = torch.randint(0, 256, (3, channels, 9, 14), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    resized = fit(images, [12, 7])
    assert resized.shape == (3, channels, 12, 7) and resized.is_contiguous()
    if channels == 3:
        whole = Image.fromarray(images[0].permute(1, 2, 0).numpy()).resize((7, 12), Image.Resampling.BILINEAR)
        assert torch.equal(resized[0], torch.from_numpy(np.array(whole)).permute(2, 0, 1))
    assert all(torch.equal(resized[:, c], fit(images[:, c : c + 1], [12, 7])[:, 0]) for c in range(channels))
    numbers = fit(images.float() - 1000, [12, 7]) + 1000
    assert numbers.dtype == torch.float32 and float((numbers - resized).abs().max()) < 1.01  # bytes are rounded twice


def test_statistics_of_numbers_are_exact_enough() -> None:
    images = (
        1e4
        + torch.randn(50, 2, 3, 5, generator=torch.Generator().manual_seed(0))
        * torch.tensor([1.0, 30.0])[:, None, None]
    )
    mean, std = statistics(images, chunk=7)
    torch.testing.assert_close(mean, images.double().mean((0, 2, 3)).float())
    torch.testing.assert_close(std, images.double().std((0, 2, 3), correction=0).float())


def test_fit_resizes_once_and_leaves_equal_sizes_alone() -> None:
    images = torch.randint(0, 256, (5, 1, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    assert fit(images, 8) is images
    up = fit(images, 16)
    assert up.shape == (5, 1, 16, 16)
    assert up.dtype == torch.uint8
    assert abs(float(up.float().mean() - images.float().mean())) < 3
    with pytest.raises(ValueError, match="whole number >= 1, or .height, width., in pixels; got 0"):
        fit(images, 0)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0, 1, 2, 1], "label 2 is out of range; 2 classes have labels 0..1"),
        ([0, -1, 1, 1], "label -1 is out of range"),
        ([1, 1, 1, 1], "all images are of class 1; a classifier needs at least 2 classes"),
        ([0, 1, 1], r"\(3,\) labels for 4 images"),
    ],
)
def test_refused_labels(labels: list[int], message: str) -> None:
    images = torch.randint(0, 256, (4, 1, 4, 4), dtype=torch.uint8)
    good = torch.tensor([0, 1, 0, 1])
    with pytest.raises(ValueError, match=message):
        in_memory("mine", (images, good), (images, torch.tensor(labels)), ["a", "b"], 4)


def test_limits_keep_the_share_of_each_class() -> None:
    images = torch.randint(0, 256, (90, 1, 4, 4), dtype=torch.uint8)
    labels = torch.arange(90) % 3
    data = in_memory("mine", (images, labels), (images, labels), "abc", 4, (31, None))
    assert len(data.train) == 31
    assert sorted(data.train.labels.bincount().tolist()) == [10, 10, 11]
    assert len(data.test) == 90
    for limit in (2, 91):
        with pytest.raises(ValueError, match=f"between 3 .* and 90, got {limit}"):
            in_memory("mine", (images, labels), (images, labels), "abc", 4, (limit, None))


@pytest.mark.parametrize(("counts", "limit"), [((910, *[10] * 9), 20), ((910, *[10] * 9), 10), ((990, *[2] * 5), 995)])
def test_limits_are_met_by_unequal_classes(counts: tuple[int, ...], limit: int) -> None:
    labels = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    kept = labels[limited("mine", labels, limit)].bincount()
    assert kept.sum() == limit and kept.min() >= 1 and kept.argmax() == 0


def test_a_fingerprint_sees_images_labels_and_splits() -> None:
    def made(first: int = 0, label: int = 0) -> ImageData:
        images = torch.arange(8 * 16, dtype=torch.int64).reshape(8, 1, 4, 4).to(torch.uint8)
        images[0, 0, 0, 0] = first
        labels = torch.tensor([label, 1, 0, 1, 0, 1, 0, 1])
        return in_memory("made", (images, labels), (images, labels), ("a", "b"), 4)

    assert made().fingerprint == made().fingerprint
    others = {made(9).fingerprint, made(label=1).fingerprint, made().held_out(0.5, 0).fingerprint}
    assert len(others | {made().fingerprint}) == 4
