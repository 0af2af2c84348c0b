import pytest
import torch

from evalsite.measured import measured
from generation.engine.spectrum import measure


def test_it_works():
    generator = torch.Generator().manual_seed(1)
    reference = torch.randn(60, 3, 4, 4, generator=generator) + 0.5
    plain = torch.randn(33, 3, 4, 4, generator=generator)
    own = plain * 1.5 + 0.25
    data = measure(reference)

    found = measured(zip(own.split(16), plain.split(16), strict=True), data)

    assert found.variance == pytest.approx(float(own.double().flatten(1).var(0).sum()) / data.variance)
    assert found.drift == pytest.approx(float((own - plain).double().square().mean().sqrt()))
    assert found.brightness == pytest.approx(float(own.double().mean() - reference.double().mean()))


def test_the_reference_itself_has_its_variance_and_no_shift():
    reference = torch.randn(200, 1, 3, 3, generator=torch.Generator().manual_seed(2))

    found = measured([(reference, reference)], measure(reference))

    assert (found.variance, found.drift, found.brightness) == pytest.approx((1, 0, 0), abs=1e-6)
