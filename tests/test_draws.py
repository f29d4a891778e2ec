import torch

from physldm.config import StageConfig
from physldm.draws import Step, Who, keyed_draw


def test_draws_depend_on_their_key_only():
    first = torch.randn(5, generator=keyed_draw(0, 1, 2))
    assert torch.equal(first, torch.randn(5, generator=keyed_draw(0, 1, 2)))
    others = [torch.randn(5, generator=keyed_draw(*key)) for key in ((1, 1, 2), (0, 2, 2), (0, 1, 3))]
    assert not any(torch.equal(first, other) for other in others)


def test_an_epoch_shows_every_item_once_and_ranks_share_it():
    stage = StageConfig(steps=1, batch=4, lr=1)
    seen = [
        i
        for step in range(5)
        for rank in (0, 1)
        for i in Step(0, Who.VAE, step, rank, 2).batch(40, stage.batch)
    ]
    assert sorted(seen) == list(range(40))
    assert Step(0, Who.VAE, 0).batch(40, 4) != Step(0, Who.VAE, 10).batch(40, 4)


def test_every_step_and_device_draws_for_itself():
    steps = [Step(0, who, number, rank, 2) for who in Who for number in (0, 1) for rank in (0, 1)]
    drawn = torch.stack([torch.randn(3, generator=step.draw()) for step in steps])
    assert len(drawn.unique(dim=0)) == len(steps)
    again = torch.stack([torch.randn(3, generator=Step(0, who, 1, 1, 2).draw()) for who in Who])
    assert torch.equal(again, drawn[3::4])
