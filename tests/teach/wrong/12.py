"""Chapter 12: wrong answers; those whose slip the hint must name, with a word of it; other right ones."""

WRONG = {
    "code_scale": [
        lambda mean, sigma: mean.std((0, 2, 3)),
        lambda mean, sigma: mean.var((0, 2, 3)) + sigma.square().mean((0, 2, 3)),
        lambda mean, sigma: mean.std((0, 2, 3)) + sigma.mean((0, 2, 3)),
        lambda mean, sigma: (mean.var((0, 2, 3)) + sigma.mean((0, 2, 3)) ** 2).sqrt(),
        lambda mean, sigma: (mean.var((0, 2, 3)) + sigma.var((0, 2, 3))).sqrt(),
        lambda mean, sigma: (mean.square() + sigma.square()).mean((0, 2, 3)).sqrt(),
        lambda mean, sigma: sigma.square().mean((0, 2, 3)).sqrt(),
        lambda mean, sigma: (mean.var() + sigma.square().mean()).sqrt(),
        lambda mean, sigma: (mean.var(0) + sigma.square().mean(0)).sqrt(),
        lambda mean, sigma: (mean.var((0, 2, 3)) + sigma.mean((0, 2, 3))).sqrt(),
    ],
    "average_memory": [
        lambda d, n: d**n,
        lambda d, n: n * (1 - d),
        lambda d, n: (1 - d) * d**n,
        lambda d, n: 1 - d ** (n - 1),
        lambda d, n: 1 - (1 - d) ** n,
        lambda d, n: (1 - d) * d ** (n - 1),
        0.5,
    ],
    "guided_velocity": [
        lambda told, anyone, w: anyone + w * (told - anyone),
        lambda told, anyone, w: told + w * (anyone - told),
        lambda told, anyone, w: w * (told - anyone),
        lambda told, anyone, w: told + w * told - anyone,
        lambda told, anyone, w: (1 + w) * told,
        lambda told, anyone, w: told,
    ],
    "choose_sampler": [
        {"cheapest": "e", "apart": "e", "first": "vae"},
        {"cheapest": "d", "apart": "e", "first": "vae"},
        {"cheapest": "a", "apart": "e", "first": "vae"},
        {"cheapest": "c", "apart": "a", "first": "vae"},
        {"cheapest": "c", "apart": "e", "first": "sampler"},
        {"cheapest": "c", "apart": "e", "first": "denoiser"},
        {"cheapest": "c", "apart": "e", "first": ...},
        {"cheapest": ["c"], "apart": ["e"], "first": {}},
        {"cheapest": "c"},
        "c",
    ],
}
NAMED = {
    "code_scale": [
        (lambda mean, sigma: mean.std((0, 2, 3)), "spread of μ"),
        (lambda mean, sigma: (mean.var((0, 2, 3)) + sigma.square().mean((0, 2, 3))) ** -0.5, "inverse"),
        (lambda mean, sigma: 1.0, "channel"),
    ],
    "average_memory": [(lambda d, n: 100 * (1 - d**n), "between 0 and 1"), (lambda d, n: d**n, "older")],
    "guided_velocity": [
        (lambda told, anyone, w: anyone + w * (told - anyone), "w = 1"),
        (lambda told, anyone, w: (1 + w) * anyone - w * told, "changed places"),
    ],
    "choose_sampler": [
        ({"cheapest": "c", "apart": "e", "first": "network"}, "say one of"),
        ({"cheapest": "c", "apart": "a", "first": "vae"}, "how many brains"),
    ],
}
RIGHT = {
    "choose_sampler": [{"cheapest": "C", "apart": "E", "first": "VAE"}],
    "code_scale": [
        lambda mean, sigma: (mean.var((0, 2, 3), correction=0) + sigma.square().mean((0, 2, 3))).sqrt()
    ],
}
