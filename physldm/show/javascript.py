"""The signal equations as JavaScript, for the scanner in the page: traced from the Python functions, never typed again."""

from __future__ import annotations

import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from torch import fx

from physldm.physics import SEQUENCES

# What an equation may be made of. A new operation is one line here; its absence stops the build of the page.
OPERATIONS = {
    "neg": "-{0}", "add": "{0} + {1}", "sub": "{0} - {1}", "mul": "{0} * {1}", "truediv": "{0} / {1}",
    "pow": "Math.pow({0}, {1})", "gt": "{0} > {1}", "exp": "Math.exp({0})", "exp_": "Math.exp({0})",
    "expm1": "Math.expm1({0})", "tanh": "Math.tanh({0})", "sin": "Math.sin({0})",
    "deg2rad": "{0} * Math.PI / 180", "addcmul": "{0} + {value} * {1} * {2}", "where": "{0} ? {1} : {2}",
    "as_tensor": "{0}", "double": "{0}", "to": "{0}",
}  # fmt: skip


def _number(value: Any) -> str:
    return "Infinity" if value == math.inf else repr(value)


def _line(node: fx.Node, names: dict[fx.Node, str]) -> str:
    operation = str(getattr(node.target, "__name__", node.target))
    if operation not in OPERATIONS:
        raise NotImplementedError(f"{operation}: expected one of {', '.join(OPERATIONS)}")
    terms = [names[a] if isinstance(a, fx.Node) else _number(a) for a in node.args]
    if "alpha" in node.kwargs:  # torch.add(a, b, alpha=c) is a + c b
        terms[1] = f"({_number(node.kwargs['alpha'])}) * {terms[1]}"
    return OPERATIONS[operation].format(*terms, value=f"({_number(node.kwargs.get('value', 1))})")


def _written(function: Callable) -> tuple[list[str], list[str], str]:
    """A traced ``function(settings, pd, t1, t2)`` as lines that need only the settings, lines for every voxel, and the
    name of the result. What is computed twice is written once."""
    outer, inner, names, known, of_voxel = [], [], {}, {}, set()
    for node in fx.symbolic_trace(function).graph.nodes:
        kind = getattr(node.target, "__name__", node.target)
        if node.op == "placeholder":
            names[node] = node.name
            if node.name != "settings":
                of_voxel.add(node)
        elif node.op == "output":
            return outer, inner, names[node.args[0]]
        elif kind == "getitem":
            names[node] = f"settings.{node.args[1]}"
        elif kind == "getattr":  # dtype and device, which a number in JavaScript does not have
            names[node] = "undefined"
        else:
            text = _line(node, names)
            voxel = any(a in of_voxel for a in node.args if isinstance(a, fx.Node))
            if text not in known:
                known[text] = f"v{len(known)}"
                (inner if voxel else outer).append(f"const {known[text]} = {text};")
            names[node] = known[text]
            if voxel:
                of_voxel.add(node)
    raise AssertionError("a traced function always ends in an output")


def equation_in_javascript(name: str) -> str:
    """The equation of a sequence as ``(settings) => (pd, t1, t2) => signal``; T1 and T2 in seconds, more than 0.

    Raises:
        NotImplementedError: the equation uses an operation that ``OPERATIONS`` does not have.
    """
    model = SEQUENCES[name]

    def equation(settings, pd, t1, t2):
        return model.equation(pd, t1, t2, **{key: settings[key] for key in model.takes})

    outer, inner, result = _written(equation)
    return f"(settings) => {{ {' '.join(outer)} return (pd, t1, t2) => {{ {' '.join(inner)} return {result}; }}; }}"


def limits_in_javascript(name: str) -> str:
    """What must hold between the settings of a sequence: a list of
    ``[setting, relation, (settings) => bound, bound in words]``."""
    model, rows = SEQUENCES[name], []
    for setting, relation, words, bound in model.limits:

        def value(settings):
            return bound(SimpleNamespace(**{key: settings[key] for key in model.settings}))  # noqa: B023

        outer, _, result = _written(value)
        rows.append(
            f'["{setting}", "{relation}", (settings) => {{ {" ".join(outer)} return {result}; }}, "{words}"]'
        )
    return f"[{', '.join(rows)}]"
