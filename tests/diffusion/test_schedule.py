import pytest
import torch
from monai.networks.schedulers import DDPMScheduler

from physldm.diffusion import make_schedule


@pytest.mark.parametrize(("kind", "theirs"), [("linear", "linear_beta"), ("cosine", "cosine")])
def test_schedules_are_those_of_monai(kind, theirs):
    betas = {} if kind == "cosine" else {"beta_start": 0.0015, "beta_end": 0.0205}
    other = DDPMScheduler(num_train_timesteps=1000, schedule=theirs, **betas).alphas_cumprod.float()
    found = make_schedule(kind).alpha_bar
    # where cos² has all but ended, each cuts it off in its own way
    torch.testing.assert_close(found[:-1], other[:-1], rtol=2e-4, atol=1e-6)
