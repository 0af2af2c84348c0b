import math

import numpy as np
import pytest
import torch

from generation.engine import spectrum


def drawn(n, d, seed=0):
    rng = np.random.default_rng(seed)
    scale = 1 / np.arange(1, d + 1)
    return torch.tensor(rng.standard_normal((n, d)) * scale + rng.standard_normal(d))


def test_with_more_images_than_numbers_it_is_the_covariance_of_numpy():
    x = drawn(200, 12)

    found = spectrum.measure(x.reshape(200, 3, 2, 2))

    values, vectors = np.linalg.eigh(np.cov(x.numpy(), rowvar=False))
    assert found.eigenvalues.numpy() == pytest.approx(values[::-1], rel=1e-9)
    assert found.count.tolist() == [1.0] * 12
    of_mean = vectors.T @ x.numpy().mean(0)
    assert found.mean_square.numpy() == pytest.approx(of_mean[::-1] ** 2, rel=1e-7)
    assert float(found.brightness.sum()) == pytest.approx(x.mean().item())
    assert found.shrinkage == 0


def test_with_fewer_images_the_eigenvalues_are_shrunk_and_all_directions_are_there():
    x = drawn(20, 300)

    found = spectrum.measure(x)

    assert 0 < found.shrinkage < 1
    assert float(found.count.sum()) == 300
    sample = np.cov(x.numpy(), rowvar=False)
    assert found.variance == pytest.approx(np.trace(sample), rel=1e-9)  # shrinking keeps the sum
    assert float(found.eigenvalues.min()) > 0
    assert float(found.mean_square.sum()) == pytest.approx(float(x.mean(0).square().sum()))
    assert float(found.brightness.sum()) == pytest.approx(x.mean().item())


def test_the_shrinkage_is_ledoit_and_wolfs_by_their_definition():
    x = drawn(20, 60)
    centred = x.numpy() - x.numpy().mean(0)
    n, d = centred.shape
    sample = centred.T @ centred / n
    level = np.trace(sample) / d
    distance = ((sample - level * np.eye(d)) ** 2).sum() / d
    error = sum(((np.outer(row, row) - sample) ** 2).sum() for row in centred) / n**2 / d

    assert spectrum.measure(x).shrinkage == pytest.approx(min(error, distance) / distance, rel=1e-9)


def test_many_directions_are_taken_in_groups_that_keep_the_sums():
    x = drawn(400, 380)

    found = spectrum.measure(x)

    assert len(found.eigenvalues) == spectrum.MOST_GROUPS
    assert float(found.count.sum()) == 380
    assert found.variance == pytest.approx(np.trace(np.cov(x.numpy(), rowvar=False)), rel=1e-9)


def test_it_does_not_depend_on_the_columns_taken_at_a_time(monkeypatch):
    x = drawn(30, 50)
    whole = spectrum.measure(x)
    monkeypatch.setattr(spectrum, "COLUMNS", 7)

    assert torch.allclose(spectrum.measure(x).eigenvalues, whole.eigenvalues, rtol=1e-9)


@pytest.mark.parametrize("n", [0, 1])
def test_a_variance_needs_two_images(n):
    with pytest.raises(spectrum.TooFew, match="two or more"):
        spectrum.measure(torch.zeros(n, 3))


def test_equal_images_have_no_variance():
    found = spectrum.measure(torch.ones(5, 8))

    assert found.variance == 0
    assert not math.isnan(found.shrinkage)
