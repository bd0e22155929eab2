"""INT8: near enough on photographs, and refused where it is not worth it."""

import dataclasses
import json
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from colorize.export.graphs.int8 import calibrate, float32_answers, loss, quantize
from colorize.export.graphs.onnx import read_metadata
from colorize.export.jobs import int8 as job
from colorize.export.jobs.int8 import Figures, as_int8, speedup
from colorize.export.jobs.output import Exported, Output
from colorize.export.listing import exported_files
from colorize.export.proof.batches import Batch, seen_batches
from colorize.export.proof.timing import in_turns, seconds_of
from colorize.runtime.errors import ArgumentError, ProofError
from colorize.runtime.files import photo_files, sha256
from colorize.runtime.models.catalog import SAMPLES
from colorize.runtime.models.contract import ModelInfo

FIGURES = Figures(0.4, 1.5, {"openvino int8": 10.0, "openvino fp32": 15.0}, 8, [])


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory, tiny_info: ModelInfo) -> Path:
    """Smooth layers, and a pair between which channels differ a thousandfold: not for 8 bits."""
    rng = np.random.default_rng(0)
    blur = rng.uniform(0, 0.02, (8, 1, 3, 3)).astype(np.float32)
    spread = np.zeros((8, 8, 1, 1), np.float32)
    spread[range(8), range(8)] = np.logspace(-3, 3, 8)[:, None, None]
    unspread = np.zeros((2, 8, 1, 1), np.float32)
    unspread[0] = (3 / np.logspace(-3, 3, 8))[:, None, None]
    unspread[1] = -unspread[0]
    same = np.eye(8, dtype=np.float32)[:, :, None, None]
    weights = {"blur": blur, "same": same, "spread": spread, "unspread": unspread}
    nodes = [
        helper.make_node("Conv", ["L", "blur"], ["a"], name="blur", pads=[1, 1, 1, 1]),
        helper.make_node("Conv", ["a", "same"], ["a1"], name="same1"),
        helper.make_node("Conv", ["a1", "same"], ["a2"], name="same2"),
        helper.make_node("Conv", ["a2", "same"], ["a3"], name="same3"),
        helper.make_node("Conv", ["a3", "spread"], ["b"], name="spread"),
        helper.make_node("Conv", ["b", "unspread"], ["ab"], name="unspread"),
    ]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("L", TensorProto.FLOAT, ["N", 1, "H", "W"])],
        [helper.make_tensor_value_info("ab", TensorProto.FLOAT, ["N", 2, "H", "W"])],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    helper.set_model_props(model, tiny_info.to_metadata())
    path = tmp_path_factory.mktemp("int8") / "network.onnx"
    onnx.save(model, path)
    return path


@pytest.fixture
def exported_network(network: Path) -> Exported:
    sidecar = {"architecture": "unet", "proofs": [], "refused_precisions": ["bf16"]}
    return Exported(network.read_bytes(), sidecar)


@pytest.fixture(scope="module")
def batches(tiny_info: ModelInfo) -> list[Batch]:
    return seen_batches(photo_files(SAMPLES / "train")[:6], tiny_info, hints=False)


def test_the_layer_that_8_bits_cannot_hold_is_found_and_kept(
    network: Path, batches: list[Batch]
) -> None:
    calibrated = calibrate(network, batches)
    truths = float32_answers(calibrated.model, batches)
    assert loss(calibrated.quantized([]), batches, truths) > 1
    model, kept = quantize(calibrated, batches, most=0.6)
    assert kept[0] == "unspread"
    assert set(kept) <= {"unspread", "spread"}
    assert loss(model, batches, truths) <= 0.6
    assert {"QuantizeLinear", "DequantizeLinear"} <= {node.op_type for node in model.graph.node}


def test_the_difference_holds_on_photographs_not_calibrated_on(
    network: Path, batches: list[Batch], tiny_info: ModelInfo
) -> None:
    model, _ = quantize(calibrate(network, batches), batches, most=0.48)
    others = seen_batches(photo_files(SAMPLES / "test")[:6], tiny_info, hints=False)
    assert loss(model, others, float32_answers(onnx.load(network), others)) <= 0.6


@pytest.mark.parametrize(
    ("difference", "speedup", "reasons"),
    [
        (0.6, 1.3, []),
        (0.61, 1.3, ["mean CIEDE2000 to float32 is 0.61, above 0.6"]),
        (0.1, 1.29, ["it is 1.29 times as fast as the best other precision, below 1.3"]),
        (float("nan"), 5.0, ["mean CIEDE2000 to float32 is nan, above 0.6"]),
    ],
)
def test_both_figures_decide(difference: float, speedup: float, reasons: list[str]) -> None:
    figures = dataclasses.replace(FIGURES, difference=difference, speedup=speedup)
    assert figures.reasons_against() == reasons


def test_the_speedup_is_that_of_the_best_int8_engine_over_the_best_other() -> None:
    seconds = {("openvino", "bf16"): 3.0, ("onnxruntime", "fp32"): 6.0}
    int8 = {("openvino", "int8"): 2.0, ("onnxruntime", "int8"): 5.0}
    assert speedup({**seconds, **int8}) == 1.5


def test_calls_take_turns_and_the_first_of_each_does_not_count(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    order: list[str] = []
    now = 0.0

    def call(name: str, seconds: list[float]) -> None:
        nonlocal now
        order.append(name)
        now += seconds[len(order) % 2]  # each turn calls it twice, the second is timed

    monkeypatch.setattr("time.perf_counter", lambda: now)
    calls = [partial(call, "a", [1.0, 50.0]), partial(call, "b", [4.0, 70.0])]
    assert in_turns(calls, 3, seconds_of) == [[1.0] * 3, [4.0] * 3]
    assert order[:8] == [*"aabbaabb"]


@pytest.mark.parametrize("speedup", [1.5, 1.1])
def test_the_file_gets_its_name_only_if_it_is_worth_it(
    speedup: float, exported_network: Exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job, "speedup", lambda _: speedup)
    lines: list[str] = []
    output = Output(tmp_path / "net.onnx", lines.append)
    if speedup >= 1.3:
        output.publish(as_int8(exported_network, output))
        assert {path.name for path in tmp_path.iterdir()} == {"net.onnx", "net.json"}
        sidecar = json.loads((tmp_path / "net.json").read_text())
        assert (sidecar["precision"], sidecar["onnx_sha256"]) == ("int8", sha256(output.target))
        assert sidecar["int8"]["kept"][0] == "unspread"
        assert 0.01 < sidecar["int8"]["difference"] <= 0.6
        assert not sidecar.keys() & {"proofs", "refused_precisions"}  # of the float32 file
        [row] = exported_files([tmp_path])
        assert row.proof.startswith("CIEDE2000 mean 0.")
        milliseconds = sidecar["int8"]["milliseconds"]
        assert set(milliseconds) == {
            *("openvino fp32", "onnxruntime fp32", "openvino int8", "onnxruntime int8")
        }
        assert ModelInfo.from_metadata(read_metadata(output.target), "net").precision == "int8"
    else:
        with pytest.raises(ProofError, match=r"int8 is not worth it here: it is 1\.10 times as"):
            as_int8(exported_network, output)
        assert {path.name for path in tmp_path.iterdir()} == {"net.refused.onnx"}
    assert lines[-1].startswith("int8: mean CIEDE2000 0.")


def test_without_photographs_it_says_so(exported_network: Exported, tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    with pytest.raises(ArgumentError, match="no photographs to calibrate on"):
        as_int8(exported_network, Output(tmp_path / "net.onnx", print), tmp_path / "none")
