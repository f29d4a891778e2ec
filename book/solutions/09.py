"""Solutions of chapter 09, one function an exercise."""


def product_of_two(mean1, var1, mean2, var2):
    var = 1 / (1 / var1 + 1 / var2)
    mean = var * (mean1 / var1 + mean2 / var2)
    return mean, var
