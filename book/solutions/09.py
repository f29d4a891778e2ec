"""Solutions of chapter 09, one function an exercise."""


def relative_error(s, x, c):
    return ((s - x).abs() / (x + c)).mean()


def which_equation():
    return {
        "a": "product of experts",
        "b": "FLAIR",
        "c": "tissue maps",
        "d": "AdaGN",
    }


def colouring_in():
    return {"a": "colouring", "b": "lost", "c": "tissue"}
