"""What tests hold the package's calls to: its annotations, in which numpy's numbers are numbers, too.

The equations are also traced (for the scanner of the page), and then a tensor's place is taken by a proxy.
"""

import numpy as np
import torch
from beartype import BeartypeConf, BeartypeHintOverrides, beartype

ALIKE = {
    float: float | int | np.floating | np.integer,
    int: int | np.integer,
    torch.Tensor: torch.Tensor | torch.fx.Proxy,
}
to_annotations = beartype(conf=BeartypeConf(hint_overrides=BeartypeHintOverrides(ALIKE)))
