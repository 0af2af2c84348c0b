"""What a picture looks like, measured from its pixels alone.

Each function takes images (B, 3, H, W), RGB in [0, 1], and returns (B,) in float64. They are properties:
whether more of one is better depends on the picture.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

_NOTHING = 1e-20  # energy below this is rounding
_SPECK = 1 / 8  # of luma; what differs so much from all around is seen as a dot


def luma(images: Tensor) -> Tensor:
    """Y' = .299 R' + .587 G' + .114 B' (ITU-R BT.601). Returns (B, H, W) float64, in [0, 1]."""
    weights = torch.tensor([0.299, 0.587, 0.114], dtype=torch.float64, device=images.device)
    return torch.einsum("bchw,c->bhw", images.double(), weights)


def brightness(images: Tensor) -> Tensor:
    """Mean luma."""
    return luma(images).mean((1, 2))


def contrast(images: Tensor) -> Tensor:
    """Standard deviation of luma over the pixels (RMS contrast: Peli 1990, JOSA A 7, 2032)."""
    return luma(images).std((1, 2), correction=0)


def sharpness(images: Tensor) -> Tensor:
    """Variance of the 4-neighbour Laplacian of luma (Pech-Pacheco et al. 2000, ICPR, "LAP4").

    Borders are reflected about the pixel's edge, as SciPy's `ndimage.laplace` does.
    """
    y = _framed(luma(images))
    here = y[:, 1:-1, 1:-1]
    laplacian = y[:, :-2, 1:-1] + y[:, 2:, 1:-1] + y[:, 1:-1, :-2] + y[:, 1:-1, 2:] - 4 * here
    return laplacian.var((1, 2), correction=0)


def tenengrad(images: Tensor) -> Tensor:
    """Mean of Gx² + Gy² with Sobel's kernels [1 2 1] × [-1 0 1] on luma (Krotkov 1988, IJCV 1, 223).

    Borders as for `sharpness`.
    """
    y = _framed(luma(images))
    down = y[:, :-2] + 2 * y[:, 1:-1] + y[:, 2:]
    across = y[:, :, :-2] + 2 * y[:, :, 1:-1] + y[:, :, 2:]
    gx = down[:, :, 2:] - down[:, :, :-2]
    gy = across[:, 2:] - across[:, :-2]
    return (gx.square() + gy.square()).mean((1, 2))


def colourfulness(images: Tensor) -> Tensor:
    """√(σ²_rg + σ²_yb) + .3 √(μ²_rg + μ²_yb) of rg = R - G, yb = (R + G)/2 - B, on 0 to 255.

    Hasler and Süsstrunk 2003, Measuring colourfulness in natural images, their M̂⁽³⁾. A grey picture has 0,
    an extremely colourful one about 110.
    """
    red, green, blue = (255 * images.double()).unbind(1)
    opponents = torch.stack([red - green, (red + green) / 2 - blue], dim=1)
    spread = opponents.var((2, 3), correction=0).sum(1).sqrt()
    return spread + 0.3 * opponents.mean((2, 3)).square().sum(1).sqrt()


def saturation(images: Tensor) -> Tensor:
    """Mean saturation of HSV, (max - min) / max of a pixel's channels (Smith 1978); black has 0."""
    highest = images.double().amax(1)
    spread = highest - images.double().amin(1)
    return torch.where(highest > 0, spread / highest, 0.0).mean((1, 2))


def clipped(images: Tensor) -> Tensor:
    """Share of pixels that have a channel at an end of its range: detail may be lost there."""
    return ((images <= 0) | (images >= 1)).any(1).double().mean((1, 2))


def high_frequency(images: Tensor) -> Tensor:
    """Share of luma's energy, its mean left out, at a radial frequency of 1/4 cycle a pixel and above.

    That is the octave below Nyquist's 1/2 and the corners of the spectrum beyond it, where checkerboards
    lie. Energy is |FFT|², the picture taken as periodic (van der Schaaf and van Hateren 1996, Vision
    Research 36, 2759, on the radial spectrum of natural pictures). An even picture has 0.
    """
    y = luma(images)
    energy = torch.fft.fft2(y - y.mean((1, 2), keepdim=True), norm="forward").abs().square()
    rows = torch.fft.fftfreq(y.shape[1], dtype=torch.float64, device=y.device)
    columns = torch.fft.fftfreq(y.shape[2], dtype=torch.float64, device=y.device)
    fine = torch.hypot(rows[:, None], columns[None, :]) >= 0.25
    total = energy.sum((1, 2))
    return torch.where(total > _NOTHING, (energy * fine).sum((1, 2)) / total, 0.0)


def extremes(images: Tensor) -> Tensor:
    """Share of pixels whose luma lies 1/8 or more from the median of their 3×3 neighbourhood.

    |x - median₃ₓ₃(x)| of the impulse detectors (Chen and Wu 2001, IEEE Signal Processing Letters 8, 1):
    specks stand out from it, edges and textures of two pixels and more hardly do. Borders as for
    `sharpness`.
    """
    y = luma(images)
    around = F.unfold(_framed(y)[:, None], 3).view(len(y), 9, *y.shape[1:])
    return ((y - around.median(1).values).abs() >= _SPECK).double().mean((1, 2))


def _framed(y: Tensor) -> Tensor:
    """(B, H, W) with each border pixel repeated once outside."""
    return F.pad(y[:, None], (1, 1, 1, 1), mode="replicate")[:, 0]
