import pytest
import pytorch_msssim
import torch
import torchmetrics.functional as tm
from monai.metrics.regression import MAEMetric, MSEMetric, MultiScaleSSIMMetric, PSNRMetric, SSIMMetric
from monai.transforms import ScaleIntensity
from skimage.metrics import mean_squared_error, peak_signal_noise_ratio, structural_similarity
from torchmetrics.functional.image import peak_signal_noise_ratio as tm_psnr
from torchmetrics.functional.image import structural_similarity_index_measure as tm_ssim

from physldm.evaluation.image import WEIGHTS, fixed_protocol, mae, ms_ssim, mse, paper_protocol, psnr, ssim

G = torch.Generator().manual_seed(0)
TARGET = torch.rand(2, 1, 224, 192, generator=G, dtype=torch.float64)  # five scales of a window of 11 fit
TARGET = torch.nn.functional.avg_pool2d(TARGET, 5, 1, 2)
PRED = (TARGET + 0.05 * torch.randn(TARGET.shape, generator=G, dtype=torch.float64)).clamp(0, 1)
R = 1.3
THREE = tuple(w / sum(WEIGHTS[:3]) for w in WEIGHTS[:3])
near = pytest.approx


def test_simple_errors_against_three_libraries():
    square, absolute, decibels = mse(PRED, TARGET), mae(PRED, TARGET), psnr(PRED, TARGET, data_range=R)
    assert square.item() == near(tm.mean_squared_error(PRED, TARGET).item())
    assert square.item() == near(MSEMetric()(PRED, TARGET).mean().item())
    assert square.item() == near(mean_squared_error(TARGET.numpy(), PRED.numpy()))
    assert absolute.item() == near(tm.mean_absolute_error(PRED, TARGET).item())
    assert absolute.item() == near(MAEMetric()(PRED, TARGET).mean().item())
    assert decibels.item() == near(tm_psnr(PRED, TARGET, data_range=R, dim=(1, 2, 3)).item(), abs=1e-5)
    assert decibels.item() == near(PSNRMetric(max_val=R)(PRED, TARGET).mean().item(), abs=1e-5)
    found = psnr(PRED, TARGET, data_range=R, reduction="none").tolist()
    for value, p, t in zip(found, PRED, TARGET, strict=True):
        assert value == near(peak_signal_noise_ratio(t.numpy(), p.numpy(), data_range=R), abs=1e-9)


def torchmetrics_ssim(pred, target):
    """Its map, less the border for which it reflects the image; ours uses no window that leaves the image."""
    _, full = tm_ssim(pred, target, data_range=R, return_full_image=True)
    return full[..., 5:-5, 5:-5].mean((1, 2, 3))


def torchmetrics_ms_ssim(pred, target, weights):
    """Put together from its SSIM scale by scale, for its own MS-SSIM has that border at the coarsest."""
    result = 1.0
    for weight in weights[:-1]:
        _, contrast = tm_ssim(pred, target, data_range=R, return_contrast_sensitivity=True, reduction="none")
        result = result * contrast**weight
        pred, target = (torch.nn.functional.avg_pool2d(image, 2) for image in (pred, target))
    return (result * torchmetrics_ssim(pred, target) ** weights[-1]).mean()


def test_ssim_against_four_libraries():
    found = ssim(PRED, TARGET, data_range=R, reduction="none")
    assert found.tolist() == near(torchmetrics_ssim(PRED, TARGET).tolist(), abs=1e-5)
    assert found.mean().item() == near(pytorch_msssim.ssim(PRED, TARGET, data_range=R).item(), abs=1e-5)
    assert found.tolist() == near(SSIMMetric(2, data_range=R)(PRED, TARGET).flatten().tolist(), abs=1e-5)
    for value, p, t in zip(found.tolist(), PRED, TARGET, strict=True):
        settings = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
        assert value == near(structural_similarity(t[0].numpy(), p[0].numpy(), data_range=R, **settings), abs=1e-9)  # fmt: skip


@pytest.mark.parametrize("weights", [WEIGHTS, THREE], ids=["five scales", "three scales"])
def test_ms_ssim_against_three_libraries(weights):
    found = ms_ssim(PRED, TARGET, data_range=R, weights=weights).item()
    assert found == near(torchmetrics_ms_ssim(PRED, TARGET, weights).item(), abs=1e-5)
    theirs = pytorch_msssim.ms_ssim(PRED, TARGET, data_range=R, weights=list(weights))
    assert found == near(theirs.item(), abs=1e-5)
    monai = MultiScaleSSIMMetric(2, data_range=R, weights=weights)
    assert found == near(monai(PRED, TARGET).mean().item(), abs=1e-5)


@pytest.mark.parametrize("kernel_size", [4, 9])
def test_other_windows_against_monai(kernel_size):
    found = ms_ssim(PRED, TARGET, data_range=R, kernel_size=kernel_size).item()
    monai = MultiScaleSSIMMetric(2, data_range=R, kernel_size=kernel_size)
    assert found == near(monai(PRED, TARGET).mean().item(), abs=1e-5)


def test_mask_counts_only_what_it_shows():
    mask = torch.zeros_like(TARGET, dtype=torch.bool)
    mask[..., :100, :] = True
    worse = PRED.clone()
    worse[..., 100:, :] = 55.0
    assert mse(worse, TARGET, mask=mask).item() == pytest.approx(
        mse(PRED[..., :100, :], TARGET[..., :100, :]).item()
    )


@pytest.mark.usefixtures("unchecked")
def test_errors(unchecked):
    with pytest.raises(ValueError, match="data_range"):
        psnr(PRED, TARGET, data_range=0.0)
    with pytest.raises(ValueError, match="at least 176"):
        ms_ssim(PRED[..., :160], TARGET[..., :160], data_range=1.0)
    with pytest.raises(ValueError, match="equal"):
        mse(PRED, TARGET[:1])
    with pytest.raises(ValueError, match="reduction"):
        mse(PRED, TARGET, reduction="sum")


def test_papers_protocol_pools_four_slices_and_their_contrasts():
    """As its code does it, by torchmetrics and MONAI: one range and one scaling for a batch of slices and contrasts."""
    scans = 1000 * torch.rand(6, 3, 112, 80, generator=G) * torch.tensor([1.0, 0.5, 0.2])[:, None, None]
    made = scans + 40 * torch.randn(scans.shape, generator=G)
    found = paper_protocol(made, scans)
    batches = list(zip(made.split(4), scans.split(4), strict=True))
    decibels = [tm_psnr(p, x, data_range=(x.max() - x.min()).item()).item() for p, x in batches]
    assert found["psnr"] == near(sum(decibels) / 2, abs=1e-4)
    assert found["mse"] == near(sum(tm.mean_squared_error(p, x).item() for p, x in batches) / 2, rel=1e-5)
    assert found["mae"] == near(sum(tm.mean_absolute_error(p, x).item() for p, x in batches) / 2, rel=1e-5)
    to_unit = ScaleIntensity()
    similar = [
        MultiScaleSSIMMetric(2, data_range=1.0, kernel_size=4)(to_unit(p), to_unit(x)) for p, x in batches
    ]
    assert found["ms_ssim"] == near(torch.cat(similar).mean().item(), abs=1e-5)


def test_papers_ms_ssim_hides_a_gain_error_and_ours_does_not():
    clean = TARGET[:, 0].float() * 1000
    brain = clean > clean.mean()
    doubled = paper_protocol(2 * clean[:, None], clean[:, None]), fixed_protocol(2 * clean, clean, brain)
    assert doubled[0]["ms_ssim"] == pytest.approx(1.0, abs=1e-4)
    assert doubled[1]["ms_ssim"] < 0.9 and doubled[1]["psnr"] < 5


def test_fixed_psnr_by_hand():
    clean = TARGET[:, 0].float()
    brain = torch.zeros_like(clean, dtype=torch.bool)
    brain[:, 50:150, 40:120] = True
    found = fixed_protocol(clean + 0.1, clean, brain)["psnr"]
    peak = clean[brain].quantile(0.995)
    assert found == pytest.approx((20 * torch.log10(peak / 0.1)).item(), abs=1e-3)


def test_fixed_ms_ssim_is_that_of_a_library_on_slices_of_brain_alone():
    draw = torch.Generator().manual_seed(1)
    clean = 900 * torch.nn.functional.avg_pool2d(torch.rand(4, 1, 192, 176, generator=draw), 5, 1, 2)[:, 0]
    made = clean + 80 * torch.randn(clean.shape, generator=draw)
    brain = torch.zeros_like(clean, dtype=torch.bool)
    brain[:3, 30:150, 25:135] = True  # the last slice has none
    found = fixed_protocol(made, clean, brain)["ms_ssim"]
    inside = [(image * brain)[:3, None] for image in (made, clean)]
    peak = clean[brain].quantile(0.995).item()
    theirs = pytorch_msssim.ms_ssim(*inside, data_range=peak, weights=list(THREE))
    assert found == near(theirs.item(), abs=1e-5) and found < 0.95
    # what lies outside the brain is nobody's business
    made[~brain] = 5000 * torch.rand(made.shape, generator=draw)[~brain]
    assert fixed_protocol(made, clean, brain)["ms_ssim"] == near(found, abs=1e-7)
