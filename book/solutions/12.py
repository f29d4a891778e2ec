"""Solutions of chapter 12, one function an exercise."""


def code_scale(mean, sigma):
    every = (0, 2, 3)  # slices and places
    return (mean.var(every) + sigma.square().mean(every)).sqrt()


def average_memory(d, n):
    return 1 - d**n


def guided_velocity(v_told, v_any, w):
    return v_told + w * (v_told - v_any)


def choose_sampler():
    return {"cheapest": "c", "apart": "e", "first": "vae"}
