"""Solutions of chapter 09, one function an exercise."""


def relative_error(s, x, c):
    return ((s - x).abs() / (x + c)).mean()


def which_equation():
    return {
        "a": "eq-poe",
        "b": "eq-flair",
        "c": "eq-tissue-maps",
        "d": "eq-adagn",
    }


def colouring_in():
    return {"a": "colouring", "b": "lost", "c": "tissue"}
