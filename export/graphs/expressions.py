"""ONNX graphs written as formulas: every operation on a term appends one node."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

Operand: TypeAlias = "Term | float | int | NDArray[Any]"


class Formulas:
    """Nodes to put around a network; the numbers in them become initializers.

    A float becomes float32 and an int int64: `x / 2.0` is for pixels, `side / 2` for sides, where
    int64 division rounds down.
    """

    def __init__(self, prefix: str) -> None:
        """Start every name with PREFIX, which the network must not use."""
        self._tape = ir.tape.Tape()
        self._prefix = prefix

    def term(self, value: ir.Value) -> Term:
        """Return VALUE, an input or a result of the network, as something to compute with."""
        return Term(value, self)

    def constant(self, number: float | NDArray[Any]) -> Term:
        """Return a number or array as a term."""
        dtype = {float: np.float32, int: np.int64}.get(type(number))
        tensor = ir.tensor(np.asarray(number, dtype), name=self._name("constant"))
        return self.term(self._tape.initializer(tensor))

    def op(self, operator: str, *operands: Operand | None, **attributes: Any) -> Term:
        """Append one node of the standard OPERATOR and return its result; None skips an input."""
        values = [operand if operand is None else self._value(operand) for operand in operands]
        result = self._tape.op(operator, values, attributes, name=self._name(operator))
        result.name = self._name("value")
        return self.term(result)

    def add_to(self, graph: ir.Graph) -> None:
        """Put all nodes into GRAPH, in an order in which it can be computed."""
        for initializer in self._tape.initializers:
            graph.register_initializer(initializer)
        graph.extend(self._tape.nodes)
        graph.sort()

    def _value(self, operand: Operand) -> ir.Value:
        if isinstance(operand, Term):
            return operand.value
        return self.constant(operand).value

    def _name(self, kind: str) -> str:
        return f"{self._prefix}.{kind}.{len(self._tape.nodes) + len(self._tape.initializers)}"


@dataclass(frozen=True, eq=False)
class Term:
    """One value of a graph in the making."""

    value: ir.Value
    formulas: Formulas

    def op(self, operator: str, *others: Operand | None, **attributes: Any) -> Term:
        """Append one node that takes this value and OTHERS."""
        return self.formulas.op(operator, self, *others, **attributes)

    def to(self, dtype: ir.DataType) -> Term:
        """Convert to DTYPE; floats lose their fraction when they become integers."""
        return self.op("Cast", to=dtype.value)

    def side(self, axis: int) -> Term:
        """Return the length of AXIS, int64 [1]."""
        return self.op("Shape", start=axis, end=axis + 1)

    def __add__(self, other: Operand) -> Term:
        return self.op("Add", other)

    def __sub__(self, other: Operand) -> Term:
        return self.op("Sub", other)

    def __mul__(self, other: Operand) -> Term:
        return self.op("Mul", other)

    def __truediv__(self, other: Operand) -> Term:
        return self.op("Div", other)

    def __rsub__(self, other: Operand) -> Term:
        return self.formulas.op("Sub", other, self)

    def __rmul__(self, other: Operand) -> Term:
        return self.op("Mul", other)

    def __matmul__(self, other: Term) -> Term:
        return self.op("MatMul", other)

    def __gt__(self, other: Operand) -> Term:
        return self.op("Greater", other)

    def __le__(self, other: Operand) -> Term:
        return self.op("LessOrEqual", other)

    def where(self, yes: Operand, no: Operand) -> Term:
        """Return YES where this holds, else NO."""
        return self.op("Where", yes, no)
