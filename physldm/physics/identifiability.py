"""Can scans give maps? How the signal answers to PD, T1 and T2, how well they can be known at best, and a fit.

Everything is in logarithms, θ = (ln PD, ln T1, ln T2): a bound of 0.1 on θ is 10 % of the property.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from .acquisition import Acquisition, AcquisitionBatch
from .noise import rician_cost
from .sequences import SEQUENCES
from .signal import signal
from .tissue import TISSUES

Protocol = Sequence[Acquisition] | AcquisitionBatch


def tissue_values(*names: str) -> Float[Tensor, "n 3"]:
    """PD, T1, T2 of tissues of the table, in float64."""
    rows = [(TISSUES[n].pd, TISSUES[n].t1, TISSUES[n].t2) for n in names]
    return torch.tensor(rows, dtype=torch.float64)


def _scan_by_scan(theta: Float[Tensor, "n 3"], protocol: Protocol) -> Sequence[Float[Tensor, " n"]]:
    maps = theta.exp().T[..., None]  # [3, n, 1]: a slice one pixel wide
    if isinstance(protocol, AcquisitionBatch):
        return signal(maps[None], protocol)[0, :, :, 0].unbind()
    return [signal(maps, a)[:, 0] for a in protocol]


def _predict(theta: Float[Tensor, "n 3"], protocol: Protocol) -> Float[Tensor, "n N"]:
    return torch.stack(list(_scan_by_scan(theta, protocol)), -1)


def _with_jacobian(theta: Tensor, protocol: Protocol) -> tuple[Float[Tensor, "n N"], Float[Tensor, "n N 3"]]:
    # a voxel's signal depends on that voxel alone: the slope of a sum over voxels is every voxel's own slope
    differentiable = isinstance(protocol, AcquisitionBatch) and protocol.tr.requires_grad
    with torch.enable_grad():
        theta = theta.detach().requires_grad_()
        scans = _scan_by_scan(theta, protocol)
        rows = [
            torch.autograd.grad(one.sum(), theta, create_graph=differentiable, retain_graph=True)[0]
            for one in scans
        ]
        s = torch.stack(list(scans), -1)
    return (s if differentiable else s.detach()), torch.stack(rows, -2)


def jacobian(values: Float[Tensor, "n 3"], protocol: Protocol) -> Float[Tensor, "n N 3"]:
    """How each of N scans answers to a relative change of PD, T1, T2: ∂s/∂ln(PD, T1, T2).

    Equation: eq-jacobian. Exact, by automatic differentiation; in the units of PD.

    Args:
        values: PD, T1, T2 of n voxels or tissues.
        protocol: N acquisitions, or a batch ``[1, N]``.
    """
    return _with_jacobian(values.log(), protocol)[1]


def fisher_information(
    jacobian: Float[Tensor, "n N 3"], sigma: float | Float[Tensor, " N"]
) -> Float[Tensor, "n 3 3"]:
    """What N scans with Gaussian noise σ say of θ: Jᵀ J / σ².

    Equation: eq-fisher. Gaussian noise is the high-signal limit of a magnitude's.

    Args:
        jacobian: see :func:`jacobian`.
        sigma: of all scans, or of each.
    """
    weighted = jacobian / torch.as_tensor(sigma, dtype=jacobian.dtype)[..., None]
    return weighted.mT @ weighted


def bounds_from(information: Float[Tensor, "n 3 3"]) -> Float[Tensor, "n 3"]:
    """The least standard deviation of each θ: √(diag F⁻¹), infinite where a direction is not seen at all.

    Equation: eq-cramer-rao (Cramér 1946; Rao 1945).
    """
    seen, direction = torch.linalg.eigh(information)
    blind = seen <= 1e-12 * seen[..., -1:]
    variance = direction**2 / torch.where(blind, 1.0, seen)[..., None, :]
    lost = (blind[..., None, :] & (direction**2 > 1e-9)).any(-1)
    known = torch.where(blind[..., None, :], 0.0, variance).sum(-1).sqrt()
    return torch.where(lost, torch.inf, known)


def cramer_rao(
    values: Float[Tensor, "n 3"],
    protocol: Protocol,
    sigma: float | Float[Tensor, " N"] = 0.01,
    *,
    voxels: int = 1,
    prior: Prior | None = None,
) -> Float[Tensor, "n 3"]:
    """The least relative standard deviation with which any unbiased method can know PD, T1 and T2.

    Args:
        values: PD, T1, T2 of n tissues.
        protocol: N acquisitions.
        sigma: noise of all scans, or of each, in the units of PD.
        voxels: how many voxels share the same three numbers; what they know adds up.
        prior: what is known before any scan; with it the bound holds on average over that prior, not for each value.
    """
    information = voxels * fisher_information(jacobian(values, protocol), sigma)
    if prior is not None:
        information = information + torch.diag(prior.precision.to(information))
    return bounds_from(information)


def blind_direction(values: Float[Tensor, "n 3"], protocol: Protocol) -> Float[Tensor, "n 3"]:
    """The direction in ln(PD, T1, T2) that the scans see least, of length 1, towards more PD: the eigenvector of the
    Fisher information's smallest eigenvalue."""
    direction = torch.linalg.eigh(fisher_information(jacobian(values, protocol), 1.0))[1][..., 0]
    return torch.where(direction[..., :1] < 0, -direction, direction)


@dataclass(frozen=True)
class Prior:
    """Log-normal knowledge before any scan: medians of PD (a.u.), T1, T2 (s), and standard deviations of their logs."""

    median: tuple[float, float, float] = (0.8, 1.0, 0.1)
    sd: tuple[float, float, float] = (0.3, 0.5, 0.5)

    @property
    def precision(self) -> Float[Tensor, "3"]:
        return torch.tensor(self.sd, dtype=torch.float64) ** -2

    @property
    def theta(self) -> Float[Tensor, "3"]:
        return torch.tensor(self.median, dtype=torch.float64).log()


# --- the classical answer ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class MapFit:
    """What a voxelwise fit found; 0 outside the mask.

    Attributes:
        maps: ``[3, H, W]``: PD, T1, T2.
        bounds: ``[3, H, W]``: Cramér–Rao bound of each at what was found, for Gaussian noise.
        identified: ``[3, H, W]``: inside, and known to better than a factor e (bound < 1). The bound is local: it
            says nothing of a second solution.
        misfit: ``[H, W]``: root mean square of (fit − scan) / σ; of magnitudes (the fit without its sign − scan) / σ.
        second: ``[3, H, W]``: the maps of a second solution, with a T1 or T2 that differs by more than 5 %, that
            the scans cannot tell from the first (χ² higher by less than 1); NaN where there is none.
    """

    maps: Float[Tensor, "3 H W"]
    bounds: Float[Tensor, "3 H W"]
    identified: Bool[Tensor, "3 H W"]
    misfit: Float[Tensor, "H W"]
    second: Float[Tensor, "3 H W"]


def map_fit(
    scans: Float[Tensor, "N H W"],
    protocol: Sequence[Acquisition],
    *,
    sigma: float,
    where: Bool[Tensor, "H W"],
    prior: Prior | None = None,
    magnitude: bool = False,
) -> MapFit:
    """Voxel by voxel the PD, T1, T2 that explain N scans best: maximum likelihood, or with a prior maximum a posteriori.

    Levenberg–Marquardt on θ for all voxels at once, from the best entry of each part of a table of T1 and T2: the
    signal equations are not monotonic, so a voxel may have more than one solution.

    Equation: eq-map; for magnitudes eq-rician-cost in the place of its first sum

    Args:
        scans: in the units of PD.
        protocol: how each was taken.
        sigma: their noise; of a magnitude that of each part of the complex signal.
        where: the voxels to fit.
        prior: what is known before any scan.
        magnitude: take the scans as magnitudes, whose sign is lost and whose noise is Rician, but for sequences that
            keep their sign. Otherwise they are taken as signed and their noise as Gaussian.

    Raises:
        ValueError: scans and protocol do not fit together, or a magnitude is negative.
    """
    if scans.ndim != 3 or len(scans) != len(protocol):
        raise ValueError(f"scans: found shape {tuple(scans.shape)}, expected [{len(protocol)}, H, W]")
    x = scans[:, where].T.double()
    signed = torch.tensor([not magnitude or SEQUENCES[a.sequence].signed for a in protocol])
    if (x < 0).logical_and(~signed).any():
        raise ValueError(f"scans: found a magnitude of {x[:, ~signed].min():g}, expected 0 or more")
    fit = _Task(protocol, sigma, prior, signed)
    starts = _nearest_in_table(x, fit)
    ends = _minimise(starts.flatten(0, 1), x.repeat(len(starts), 1), fit)
    theta, second = _best_and_second(*(y.unflatten(0, (len(starts), len(x))) for y in ends))
    s, j = _with_jacobian(theta, protocol)
    bounds = bounds_from(fisher_information(j, sigma) + fit.precision)
    misfit = ((fit.seen(s) - x) / sigma).square().mean(-1).sqrt()
    return MapFit(
        _image(theta.exp(), where).float(),
        _image(bounds, where).float(),
        _image(bounds < 1, where),
        _image(misfit, where).float(),
        _image(second.exp(), where, torch.nan).float(),
    )


def _best_and_second(
    theta: Float[Tensor, "starts n 3"], cost: Float[Tensor, "starts n"]
) -> tuple[Tensor, Tensor]:
    """The θ of least cost of each voxel, and that of another tissue that is as good, NaN where there is none."""
    order, voxels = cost.argsort(0), torch.arange(cost.shape[1])
    theta, cost = theta[order, voxels], cost[order, voxels]
    differs = (theta - theta[0])[..., 1:].abs().amax(-1) > 0.05
    as_good = differs & (cost - cost[0] < 0.5)  # the cost is half of χ²
    second = theta[as_good.int().argmax(0), voxels]
    return theta[0], torch.where(as_good.any(0)[:, None], second, torch.nan)


def _image(values: Tensor, where: Bool[Tensor, "H W"], outside: float = 0) -> Tensor:
    """Values of the voxels ``[n, ...]`` as pictures ``[..., H, W]``."""
    out = torch.full((*values.shape[1:], *where.shape), outside, dtype=values.dtype)
    out[..., where] = values.movedim(0, -1)
    return out


# No tissue is outside: ln PD, ln T1 (10 ms to 20 s), ln T2 (1 ms to 20 s).
LOWEST, HIGHEST = (-12.0, math.log(0.01), math.log(0.001)), (12.0, math.log(20.0), math.log(20.0))


STEPS = 60


@dataclass(frozen=True)
class _Task:
    """What voxels are fitted to: the protocol, the noise, the prior, and which of the N scans have a sign."""

    protocol: Sequence[Acquisition]
    sigma: float
    prior: Prior | None
    signed: Bool[Tensor, " N"]

    @property
    def precision(self) -> Float[Tensor, "3 3"]:
        return torch.diag(self.prior.precision) if self.prior else torch.zeros(3, 3, dtype=torch.float64)

    def seen(self, s: Float[Tensor, "n N"]) -> Float[Tensor, "n N"]:
        """The signals as these scans show them without noise."""
        return torch.where(self.signed, s, s.abs())

    def cost(self, theta: Float[Tensor, "n 3"], x: Float[Tensor, "n N"]):
        """Half of χ², or the negative log posterior, of each voxel; a matrix that stands for its curvature; its slope."""
        s, j = _with_jacobian(theta, self.protocol)
        off = s - x
        cost, slope, curvature = off.square() / 2, off, torch.ones_like(off)
        if not self.signed.all():
            lost = rician_cost(s, x, self.sigma)
            scaled = (lost[0] * self.sigma**2, lost[1] * self.sigma**2, lost[2] * self.sigma**2)
            cost, slope, curvature = (
                torch.where(self.signed, a, b) for a, b in zip((cost, slope, curvature), scaled, strict=True)
            )
        # where the Rician cost bends the other way a step needs some curvature all the same
        weighted = j * curvature.clamp_min(0.1)[..., None].sqrt()
        information = fisher_information(weighted, self.sigma) + self.precision
        total, slope = cost.sum(-1) / self.sigma**2, (j.mT @ slope[..., None])[..., 0] / self.sigma**2
        if self.prior is not None:
            away = theta - self.prior.theta
            total = total + (self.prior.precision * away.square()).sum(-1) / 2
            slope = slope + self.prior.precision * away
        return total, information, slope


def _minimise(theta: Float[Tensor, "n 3"], x: Float[Tensor, "n N"], fit: _Task) -> tuple[Tensor, Tensor]:
    """Levenberg–Marquardt from ``theta``: θ and cost of where each voxel ends."""
    lowest, highest = (torch.tensor(v, dtype=torch.float64) for v in (LOWEST, HIGHEST))
    damping = torch.full((len(x), 1), 1e-3, dtype=torch.float64)
    cost, information, slope = fit.cost(theta, x)
    open_ = torch.arange(len(x))  # voxels that still move
    for _ in range(STEPS):
        a, g = information[open_], slope[open_]
        scale = a.diagonal(dim1=-2, dim2=-1)
        step = torch.linalg.solve(a + torch.diag_embed(damping[open_] * scale + 1e-12), g)
        trial = (theta[open_] - step.clamp(-1.0, 1.0)).clamp(lowest, highest)
        trial_cost, trial_information, trial_slope = fit.cost(trial, x[open_])
        better = trial_cost < cost[open_]
        won = open_[better]
        moved = (trial - theta[open_]).abs().amax(-1)
        theta[won], cost[won] = trial[better], trial_cost[better]
        information[won], slope[won] = trial_information[better], trial_slope[better]
        damping[open_] = torch.where(better[:, None], damping[open_] / 5, damping[open_] * 4).clamp(
            1e-12, 1e9
        )
        open_ = open_[moved > 1e-9]
        if not len(open_):
            break
    return theta, cost


def _nearest_in_table(x: Float[Tensor, "n N"], fit: _Task) -> Float[Tensor, "parts n 3"]:
    """Where to begin: of each part of a table of T1 and T2 the entry whose signals, times the best PD, come nearest.

    The parts are short, middle and long T1. A fit cannot cross the zero of a scan that has lost its sign, so there its
    two sides are parts of their own.
    """
    t1 = torch.logspace(-1.3, 1.0, 69, dtype=torch.float64)
    t2 = torch.logspace(-2.2, 0.7, 44, dtype=torch.float64)
    table = torch.cartesian_prod(torch.zeros(1, dtype=torch.float64), t1.log(), t2.log())
    table = table[table[:, 2] <= table[:, 1]]
    length = torch.bucketize(table[:, 1].contiguous(), torch.tensor([0.5, 1.2], dtype=torch.float64).log())
    up = (_predict(table, fit.protocol) > 0) | fit.signed
    part = torch.cat([length[:, None], up], -1).unique(dim=0, return_inverse=True)[1]
    return torch.stack([_nearest(table[part == k], x, fit) for k in range(int(part.max()) + 1)])


def _nearest(table: Tensor, x: Float[Tensor, "n N"], fit: _Task) -> Float[Tensor, "n 3"]:
    shape, prior = fit.seen(_predict(table, fit.protocol)), fit.prior
    best = torch.empty(len(x), 3, dtype=torch.float64)
    for rows in torch.arange(len(x)).split(2048):
        along = x[rows] @ shape.T
        pd = (along / shape.square().sum(-1)).clamp_min(1e-6)
        off = x[rows].square().sum(-1, keepdim=True) - 2 * pd * along + pd**2 * shape.square().sum(-1)
        cost = off / (2 * fit.sigma**2)
        if prior is not None:
            of_pd = prior.precision[0] * (pd.log() - prior.theta[0]).square()
            of_times = (prior.precision * (table - prior.theta).square())[:, 1:].sum(-1)
            cost = cost + (of_pd + of_times) / 2
        chosen = cost.argmin(-1)
        best[rows] = table[chosen]
        best[rows, 0] = pd[torch.arange(len(rows)), chosen].log()
    return best


# --- a better protocol -------------------------------------------------------------------------------------------


SHORTEST_TE = 0.01  # what the scanner can do, seconds
DESCENT = 400


def best_protocol(start: Sequence[Acquisition], *, longest_tr: Sequence[float]) -> list[Acquisition]:
    """The TE, TR and TI with the least Cramér–Rao bounds in white and grey matter, for the sequences of ``start``.

    Minimises the mean over tissues of ln det F⁻¹ (D-optimality: the volume of what is left unknown) by gradient
    descent through the signal equations and their derivatives: the best protocol near ``start``. Noise makes no
    difference to it.

    Args:
        start: acquisitions that only have TE, TR and TI; where the search begins.
        longest_tr: the most each may take, seconds; without a limit the answer is always "longer".

    Returns:
        As many acquisitions as ``start`` has, times in whole milliseconds.
    """
    values = tissue_values("wm", "gm")
    batch = AcquisitionBatch.of([start])
    longest = torch.tensor([list(longest_tr)], dtype=torch.float64)
    te, tr, ti = (x.double() for x in (batch.te, batch.tr, batch.ti))
    # each time as a share of what it may be
    shares = torch.stack([tr / longest, (te - SHORTEST_TE) / (0.3 * tr), ti / tr]).clamp(0.02, 0.98)
    shares.requires_grad_()
    optimiser = torch.optim.Adam([shares], lr=0.02)

    def protocol() -> AcquisitionBatch:
        tr = longest * shares[0]
        te = SHORTEST_TE + 0.3 * tr * shares[1]
        ti = torch.minimum(tr * shares[2], tr - te - 0.01)
        return replace(batch, te=te, tr=tr, ti=torch.where(batch.ti > 0, ti, 0.0))

    for _ in range(DESCENT):
        unknown = -torch.logdet(fisher_information(jacobian(values, protocol()), 1.0)).mean()
        optimiser.zero_grad()
        unknown.backward()
        optimiser.step()
        with torch.no_grad():
            shares[0].clamp_(0.02, 1.0)
            shares[1].clamp_(0.0, 1.0)
            shares[2].clamp_(0.02, 1.0)
    found = protocol()
    result = []
    for n, a in enumerate(start):
        taken = SEQUENCES[a.sequence].takes
        times = {k: round(found.setting(k)[0, n].item(), 3) for k in ("te", "tr", "ti") if k in taken}
        result.append(Acquisition(a.sequence, times))
    return result
