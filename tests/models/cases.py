"""Sizes that the networks of each preset are held to."""

IMAGE = {"smoke": (112, 80), "laptop": (112, 80), "paper": (224, 160)}  # at 2 mm and at 1 mm
CODE = {"smoke": (4, 14, 10), "laptop": (8, 28, 20), "paper": (6, 28, 20)}  # laptop and paper: 8 mm a place
