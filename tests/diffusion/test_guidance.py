"""Guidance, with a network whose answer to what it is told is known."""

import torch

from physldm.diffusion import guided


def answer(x, t, told):
    """A network in which what it is told and when it is asked can be seen apart; NaN is nothing told."""
    return 2 * x + t[:, None] + 10 * torch.nan_to_num(told)[:, None] ** 2


def test_the_answer_is_moved_away_from_that_of_one_told_nothing():
    x, t, told = torch.randn(3, 2), torch.tensor([5, 6, 7]), torch.tensor([1.0, 2.0, -3.0])
    shared = 2 * x + t[:, None]
    for w in (0.0, 1.0, 2.5):
        torch.testing.assert_close(guided(answer, told, w)(x, t), shared + 10 * (1 + w) * told[:, None] ** 2)


def test_the_network_is_called_once():
    calls = []
    network = lambda x, t, told: calls.append(len(x)) or answer(x, t, told)  # noqa: E731
    guided(network, torch.ones(4), 1.0)(torch.zeros(4, 2), torch.zeros(4))
    assert calls == [8]
