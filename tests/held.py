"""What tests hold the package's calls to: its annotations, in which numpy's numbers are numbers, too."""

import numpy as np
from beartype import BeartypeConf, BeartypeHintOverrides, beartype

NUMBERS = {float: float | int | np.floating | np.integer, int: int | np.integer}
to_annotations = beartype(conf=BeartypeConf(hint_overrides=BeartypeHintOverrides(NUMBERS)))
