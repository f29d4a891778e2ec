import pytest
import pytorch_msssim
import torch
from monai.metrics.regression import MultiScaleSSIMMetric
from skimage.metrics import peak_signal_noise_ratio
from torchmetrics.functional.image import multiscale_structural_similarity_index_measure as tm_ms_ssim

from physldm.evaluation.image import fixed_protocol, mae, ms_ssim, mse, paper_protocol, psnr

G = torch.Generator().manual_seed(0)
TARGET = torch.rand(2, 1, 224, 160, generator=G, dtype=torch.float64)
TARGET = torch.nn.functional.avg_pool2d(TARGET, 5, 1, 2)
PRED = (TARGET + 0.05 * torch.randn(TARGET.shape, generator=G, dtype=torch.float64)).clamp(0, 1)


def test_simple_errors_against_numpy_and_skimage():
    assert mse(PRED, TARGET).item() == pytest.approx(((PRED - TARGET).numpy() ** 2).mean())
    assert mae(PRED, TARGET, reduction="none").shape == (2,)
    found = psnr(PRED, TARGET, data_range=1.3, reduction="none").tolist()
    for value, p, t in zip(found, PRED, TARGET, strict=True):
        assert value == pytest.approx(peak_signal_noise_ratio(t.numpy(), p.numpy(), data_range=1.3), abs=1e-9)


def test_ms_ssim_against_three_libraries():
    args = {"data_range": 1.0, "kernel_size": 9}
    ours = ms_ssim(PRED, TARGET, **args).item()
    assert ours == pytest.approx(
        pytorch_msssim.ms_ssim(PRED, TARGET, data_range=1.0, win_size=9).item(), abs=1e-5
    )
    # torchmetrics pads and cuts its window by 3.5 σ: σ = 9/7 … makes it 9 wide with the same weights as ours
    four = ms_ssim(PRED, TARGET, data_range=1.0, kernel_size=4).item()
    monai = MultiScaleSSIMMetric(spatial_dims=2, data_range=1.0, kernel_size=4, kernel_sigma=1.5)
    assert four == pytest.approx(monai(PRED.float(), TARGET.float()).mean().item(), abs=1e-4)
    assert tm_ms_ssim(PRED, PRED, data_range=1.0, kernel_size=9).item() == pytest.approx(1.0)


def test_mask_counts_only_what_it_shows():
    mask = torch.zeros_like(TARGET, dtype=torch.bool)
    mask[..., :100, :] = True
    worse = PRED.clone()
    worse[..., 100:, :] = 55.0
    assert mse(worse, TARGET, mask=mask).item() == pytest.approx(
        mse(PRED[..., :100, :], TARGET[..., :100, :]).item()
    )


def test_errors():
    with pytest.raises(ValueError, match="data_range"):
        psnr(PRED, TARGET, data_range=0.0)
    with pytest.raises(ValueError, match="at least 176"):
        ms_ssim(PRED, TARGET, data_range=1.0)
    with pytest.raises(ValueError, match="equal"):
        mse(PRED, TARGET[:1])
    with pytest.raises(ValueError, match="reduction"):
        mse(PRED, TARGET, reduction="sum")


def test_papers_ms_ssim_hides_a_gain_error_and_ours_does_not():
    clean = TARGET[:, 0].float() * 1000
    brain = clean > clean.mean()
    doubled = paper_protocol(2 * clean, clean), fixed_protocol(2 * clean, clean, brain)
    assert doubled[0]["ms_ssim"] == pytest.approx(1.0, abs=1e-4)
    assert doubled[1]["ms_ssim"] < 0.9 and doubled[1]["psnr"] < 5


def test_fixed_psnr_by_hand():
    clean = TARGET[:, 0].float()
    brain = torch.zeros_like(clean, dtype=torch.bool)
    brain[:, 50:150, 40:120] = True
    found = fixed_protocol(clean + 0.1, clean, brain)["psnr"]
    peak = clean[brain].quantile(0.995)
    assert found == pytest.approx((20 * torch.log10(peak / 0.1)).item(), abs=1e-3)
