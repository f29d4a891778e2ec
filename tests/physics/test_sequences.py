"""The table of sequences: stable in float32, at the ends of T1, T2 and PD, differentiable, open to one more."""

import inspect
import math

import pytest
import torch

from physldm.physics import FIELDS, SEQUENCES, Acquisition, AcquisitionBatch, AcquisitionError, signal
from physldm.physics.sequences import sequence

from .cases import protocols, tissues

NAMES = ["mprage", "spin_echo", "flair", "spin_echo_exact", "flair_exact", "tse", "ir_tse", "flair_tse",
         "mprage_readout", "spgr", "gre", "bssfp", "dir", "psir", "mp2rage"]  # fmt: skip


def images(acquisition, pd, t1, t2):
    return signal(torch.stack([pd, t1, t2])[:, None], acquisition)


def test_the_names_the_book_promises():
    assert list(SEQUENCES) == NAMES
    assert all(set(model.settings) <= set(FIELDS) for model in SEQUENCES.values())


@pytest.mark.parametrize("name", NAMES)
def test_float32_is_float64(name):
    pd, t1, t2 = tissues()
    for acquisition in protocols(name):
        single = pd.float(), t1.float(), t2.float()
        found, true = (
            images(acquisition, *single).double(),
            images(acquisition, *(x.double() for x in single)),
        )
        scale = torch.maximum(true.abs(), 0.02 * (torch.ones_like(pd) if name == "mp2rage" else pd))
        assert ((found - true).abs() / scale).max() <= 1e-5, acquisition


@pytest.mark.parametrize("name", NAMES)
def test_finite_at_the_ends_with_gradients(name):
    ends = [0.0, 1e-30, 1e-12, 1e-6, 1.0, 1e6, 1e12, 1e30, math.inf]
    grid = torch.cartesian_prod(torch.tensor([0.0, 1.0]), torch.tensor(ends), torch.tensor(ends))
    pd, t1, t2 = (x.clone().requires_grad_() for x in grid.unbind(1))
    for acquisition in [Acquisition.usual(name), *protocols(name, 3)]:
        s = images(acquisition, pd, t1, t2)
        assert torch.isfinite(s).all() and s.abs().max() <= 1 + 1e-5
        assert (s[0][grid[:, 0] == 0] == 0).all()
        gradients = torch.autograd.grad(s.sum(), (pd, t1, t2))
        assert all(torch.isfinite(g).all() for g in gradients)


@pytest.mark.parametrize("name", NAMES)
def test_derivatives_are_those_of_finite_differences(name):
    acquisition = Acquisition.usual(name)
    maps = torch.tensor([0.8, 1.1, 0.09], dtype=torch.float64)[:, None, None].requires_grad_()
    assert torch.autograd.gradcheck(lambda m: signal(m, acquisition), (maps,), eps=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_protocol_can_be_differentiated_too(name):
    batch = AcquisitionBatch.of([[Acquisition.usual(name)]])
    maps = torch.tensor([0.8, 1.1, 0.09])[None, :, None, None]
    batch.tr.requires_grad_()
    (slope,) = torch.autograd.grad(signal(maps, batch).sum(), batch.tr)
    assert torch.isfinite(slope).all() and slope.abs().sum() > 0


def test_a_batch_of_all_sequences_equals_one_by_one():
    maps = torch.rand(2, 3, 4, 5, generator=torch.Generator().manual_seed(0)) + 0.1
    rows = [[Acquisition.usual(n) for n in NAMES], [Acquisition.usual(n) for n in reversed(NAMES)]]
    batch = signal(maps, AcquisitionBatch.of(rows)[[1, 0]][[1, 0]].to("cpu"))
    for b, row in enumerate(rows):
        for n, acquisition in enumerate(row):
            torch.testing.assert_close(batch[b, n], signal(maps[b], acquisition), rtol=1e-4, atol=1e-6)


def test_magnitude_loses_the_sign_but_where_it_is_measured():
    maps = torch.tensor([1.0, 4.2, 1.9])[:, None, None]
    early = {"tr": 6.0, "ti": 0.5}
    assert signal(maps, Acquisition("flair", te=0.01, **early)) < 0
    assert signal(maps, Acquisition("flair", te=0.01, **early), magnitude=True) > 0
    assert signal(maps, Acquisition("psir", te=0.01, **early), magnitude=True) < 0


def test_ernst_angle_is_the_brightest():
    tr, t1 = 0.02, 0.85
    angles = torch.linspace(1, 60, 2000, dtype=torch.float64)
    s = SEQUENCES["spgr"].equation(
        torch.tensor(1.0),
        torch.tensor(t1, dtype=torch.float64),
        torch.tensor(1.0),
        te=0.0,
        tr=tr,
        flip_angle=angles,
    )
    assert angles[s.argmax()].item() == pytest.approx(math.degrees(math.acos(math.exp(-tr / t1))), abs=0.05)


@pytest.mark.parametrize(
    ("field", "arguments"),
    [
        ("flip_angle", {"sequence": "spgr", "te": 0.004, "tr": 0.02}),
        ("flip_angle", {"sequence": "spgr", "te": 0.004, "tr": 0.02, "flip_angle": 200.0}),
        ("flip_angle", {"sequence": "spin_echo", "te": 0.1, "tr": 3.0, "flip_angle": 90.0}),
        ("train_length", {"sequence": "tse", "te": 0.1, "tr": 3.0, "train_length": 2.5}),
        ("train_length", {"sequence": "tse", "te": 0.1, "tr": 3.0, "train_length": 300}),
        ("te", {"sequence": "ir_tse", "te": 0.004, "tr": 2.0, "ti": 0.8}),
        ("te", {"sequence": "flair_tse", "te": 0.4, "tr": 5.0, "ti": 1.8, "train_length": 20}),
        ("ti", {"sequence": "ir_tse", "te": 0.02, "tr": 2.0, "ti": 2.0}),
        ("ti", {"sequence": "flair_tse", "te": 0.09, "tr": 9.0, "ti": 0.0}),
        # the train would not be over when the next inversion comes
        ("train_length", {"sequence": "ir_tse", "te": 0.02, "tr": 2.0, "ti": 1.9, "train_length": 11}),
        ("b1", {"sequence": "spgr", "te": 0.004, "tr": 0.02, "flip_angle": 20.0, "b1": 0.0}),
        ("b1", {"sequence": "tse", "te": 0.1, "tr": 3.0, "b1": 80.0}),
        ("b1", {"sequence": "spin_echo", "te": 0.1, "tr": 3.0, "b1": 1.0}),
        ("inversion_efficiency", {"sequence": "ir_tse", "te": 0.02, "tr": 2.0, "ti": 0.8, "inversion_efficiency": 1.1}),
        ("inversion_efficiency", {"sequence": "psir", "te": 0.01, "tr": 6.0, "ti": 0.8, "inversion_efficiency": -0.1}),
        ("inversion_efficiency", {"sequence": "flair", "te": 0.09, "tr": 9.0, "ti": 2.5, "inversion_efficiency": 1.0}),
        ("ti", {"sequence": "mprage_readout", "tr": 2.4, "ti": 0.3}),
        ("ti", {"sequence": "mprage_readout", "tr": 2.4, "ti": 2.0}),
        ("ti", {"sequence": "flair_exact", "te": 0.5, "tr": 3.0, "ti": 2.7}),
        ("ti2", {"sequence": "dir", "te": 0.01, "tr": 5.0, "ti": 3.0, "ti2": 2.5}),
        ("ti2", {"sequence": "mp2rage", "tr": 5.0, "ti": 0.7, "ti2": 1.5}),
        ("centre_echo", {"sequence": "mprage_readout", "tr": 2.4, "ti": 1.0, "centre_echo": 200}),
        ("te", {"sequence": "bssfp", "te": 0.006, "tr": 0.005, "flip_angle": 30.0}),
    ],
)  # fmt: skip
def test_an_impossible_setting_is_named(field, arguments):
    with pytest.raises(AcquisitionError, match=f"^{field}: "):
        Acquisition(**arguments)


def test_one_entry_adds_a_sequence_everywhere():
    @sequence("saturation recovery", "T1w", {"tr": 0.5}, defaults={"te": 0.0})
    def saturation_recovery(pd, t1, t2, *, tr, te=0.0):
        return pd * -torch.expm1(-tr / t1)

    try:
        a = Acquisition("saturation_recovery", tr=0.5)
        maps = torch.tensor([1.0, 1.0, 0.1])[:, None, None]
        assert signal(maps, a).item() == pytest.approx(1 - math.exp(-0.5))
        assert signal(maps[None], AcquisitionBatch.of([[a]])).shape == (1, 1, 1, 1)
    finally:
        del SEQUENCES["saturation_recovery"]


def test_every_equation_says_its_units():
    for name, model in SEQUENCES.items():
        doc = inspect.getdoc(model.equation)
        assert "seconds" in doc and "Returns" in doc and "eq-" in doc, name
