"""A network that takes hints, cut down to what it computes where none are given."""

import openvino

from ..models.contract import HINTS

_ZERO_IF_ANY = {"Multiply", "MatMul", "Convolution", "GroupConvolution"}
_ZERO_IF_FIRST = {
    *("Divide", "AvgPool", "MaxPool", "Slice", "StridedSlice", "VariadicSplit", "Split"),
    *("Reshape", "Transpose", "Squeeze", "Unsqueeze", "Convert", "Relu"),
}
_ZERO_IF_ALL = {"Concat", "Add", "Subtract"}


def without_hints(network: openvino.Model) -> openvino.Model | None:
    """Return NETWORK without its hints; None if it computes more than sums from them.

    Zeros are followed through everything that leaves them zero. Where they are added to something,
    that takes the sum's place, and with the sums everything falls away that led to them.
    """
    cut = network.clone()
    zeros: set[tuple[str, int]] = set()

    def is_zero(port: openvino.Input) -> bool:
        source = port.get_source_output()
        return (source.get_node().get_name(), source.get_index()) in zeros

    for node in cut.get_ordered_ops():
        kind, ports = node.get_type_name(), node.inputs()
        given = [is_zero(port) for port in ports]
        if (kind == "Parameter" and HINTS in node.output(0).get_names()) or (
            (kind in _ZERO_IF_ANY and any(given))
            or (kind in _ZERO_IF_FIRST and given and given[0])
            or (kind in _ZERO_IF_ALL and given and all(given))
        ):
            zeros |= {(node.get_name(), index) for index in range(node.get_output_size())}
        elif kind == "Add" and any(given):
            [rest] = [port for port, zero in zip(ports, given, strict=True) if not zero]
            if rest.get_partial_shape() == node.get_output_partial_shape(0):  # else it is spread
                for user in node.output(0).get_target_inputs():
                    user.replace_source_output(rest.get_source_output())
    kept = [node for node in cut.get_parameters() if HINTS not in node.output(0).get_names()]
    try:
        return openvino.Model(cut.get_results(), kept, network.get_name())
    except RuntimeError:  # something still asks for the hints
        return None
