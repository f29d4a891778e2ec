"""Answers to the exercises: each check says right or not yet, and why; it prints its verdict and never raises.

A check computes what it expects on its own, from the equations, and not with the function that the chapter hands out.
The module of a chapter lists its checks, and what its exercises are about, in ``__all__``.
"""

from .chapter_00 import *  # noqa: F403
from .chapter_01 import *  # noqa: F403
from .chapter_02 import *  # noqa: F403
from .chapter_03 import *  # noqa: F403
from .chapter_04 import *  # noqa: F403
from .chapter_05 import *  # noqa: F403
from .chapter_06 import *  # noqa: F403
from .chapter_07 import *  # noqa: F403
from .chapter_08 import *  # noqa: F403
from .chapter_09 import *  # noqa: F403
from .chapter_10 import *  # noqa: F403
from .chapter_11 import *  # noqa: F403
from .chapter_12 import *  # noqa: F403
from .chapter_13 import *  # noqa: F403
from .chapter_14 import *  # noqa: F403
from .chapter_15 import *  # noqa: F403
from .chapter_18 import *  # noqa: F403
from .verdict import Verdict as Verdict
