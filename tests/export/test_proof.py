"""The proof before the promise: what passes, what is refused, and what the runtime is told."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from skimage.color import deltaE_ciede2000, lab2rgb, rgb2lab
from torch import Tensor, nn

from colorize.export.graphs.fp16 import HalvedNetwork, halve, rank_layers
from colorize.export.jobs import checkpoint as job
from colorize.export.jobs import examine
from colorize.export.proof.batches import sample_batches, square_batch
from colorize.export.proof.proof import (
    FLOAT16,
    FLOAT32,
    Bound,
    Trial,
    onnxruntime_answer,
    reference_answer,
)
from colorize.runtime.color import F32
from colorize.runtime.engines.base import Precision
from colorize.runtime.engines.openvino import OpenVINOEngine
from colorize.runtime.errors import EngineError
from colorize.runtime.files import sha256
from colorize.runtime.models.catalog import MODELS
from colorize.runtime.models.sidecar import proved_in_bfloat16, read_proofs, refused_precisions
from colorize.train.architectures.unet import UNetConfig
from colorize.train.checkpoints.checkpoint import Checkpoint, load_checkpoint

Run = Callable[..., subprocess.CompletedProcess[str]]


def test_figures_are_those_of_the_pictures() -> None:
    """CIEDE2000 of the very pictures, computed by hand from their RGB."""
    [sample] = square_batch(8, 64, photos=1)
    lightness = np.clip(sample, 30, 70)  # all its colors are in gamut
    rng = np.random.default_rng(0)
    truth = rng.uniform(-10, 10, (1, 2, 64, 64)).astype(np.float32)
    other = truth + rng.uniform(-2, 2, truth.shape).astype(np.float32)
    proof = Trial([(lightness,)], [truth], FLOAT16).prove("x", "fp16", lambda _: other)
    pictures = [
        rgb2lab(lab2rgb(np.concatenate([lightness, ab], axis=1)[0].transpose(1, 2, 0)))
        for ab in (truth, other)
    ]
    expected = deltaE_ciede2000(*pictures)  # type: ignore[no-untyped-call]
    assert proof.mean == pytest.approx(expected.mean(), rel=0.02)
    assert proof.tail == pytest.approx(np.quantile(expected, 0.999), rel=0.05)
    apart = Trial([(lightness,)], [truth], FLOAT32).prove("x", "fp32", lambda _: other)
    assert apart.tail == pytest.approx(np.hypot(*(other - truth)[0]).max())


def darker(lightness: F32, ab: F32) -> F32:
    return np.where(lightness < 30, ab * 1.5 + 1, ab)


def one_nan(lightness: F32, ab: F32) -> F32:
    return np.where(lightness == lightness.max(), np.float32(np.nan), ab)


@pytest.mark.parametrize("wrong", [darker, one_nan])
@pytest.mark.parametrize("bound", [FLOAT32, FLOAT16])
def test_a_wrong_answer_fails(
    wrong: Callable[[F32, F32], F32], bound: Bound, exported: dict[str, Path]
) -> None:
    right = onnxruntime_answer(exported["fp32"])
    trial = Trial.of(right, sample_batches(32, (64,)), bound)
    assert trial.prove("right", "fp32", right).passed
    assert not trial.prove("planted", "fp32", lambda L: wrong(L, right(L))).passed


def test_the_figures_lie_beside_the_file(exported: dict[str, Path]) -> None:
    for name, path in exported.items():
        assert json.loads(path.with_suffix(".json").read_text())["onnx_sha256"] == sha256(path)
        proofs = read_proofs(path)
        made = [(proof["engine"], proof["precision"]) for proof in proofs]
        half = [("torch", "fp16")] * (name == "fp16")
        assert made[: len(half) + 2] == [*half, ("onnxruntime", "fp32"), ("openvino", "fp32")]
        assert (("onnx.reference", "fp16") in made) == (name == "fp16")
        for proof in proofs:
            assert proof["passed"] == (proof["mean"] <= proof["bound"]["mean"])
        unit = "|Δab|" if name == "fp32" else "CIEDE2000"
        assert proofs[len(half)]["bound"]["unit"] == unit


def test_older_files_name_the_precision_in_words(tiny_model: Path, tmp_path: Path) -> None:
    model = tmp_path / "old.onnx"
    model.write_bytes(tiny_model.read_bytes())
    subjects = ("ONNX Runtime", "OpenVINO, float32", "OpenVINO, bf16")
    proofs = [{"subject": subject, "passed": True} for subject in subjects]
    sidecar = {"onnx_sha256": sha256(model), "proofs": proofs}
    model.with_suffix(".json").write_text(json.dumps(sidecar), encoding="utf-8")
    assert [proof["precision"] for proof in read_proofs(model)] == ["", "float32", "bf16"]
    assert proved_in_bfloat16(model)
    for name in ("default", "gan", "resnet", "unet", "unetgan"):
        assert proved_in_bfloat16(MODELS / f"{name}.onnx")


def test_the_reference_rounds_where_onnxruntime_hides_it(tmp_path: Path) -> None:
    """Times 1,000 twice, then divided again: more than float16 can hold."""
    names = ["L", "half", "large", "larger", "smaller", "small", "ab"]
    kinds = [("Cast",), ("Mul", "k"), ("Mul", "k"), ("Div", "k"), ("Div", "k"), ("Cast",)]
    nodes = [
        helper.make_node(kind, [given, *others], [made])
        for (kind, *others), given, made in zip(kinds, names, names[1:], strict=False)
    ]
    for node, dtype in ((nodes[0], TensorProto.FLOAT16), (nodes[-1], TensorProto.FLOAT)):
        node.attribute.append(helper.make_attribute("to", dtype))
    sides = [1, 1, 2, 2]
    graph = helper.make_graph(
        nodes,
        "overflow",
        [helper.make_tensor_value_info("L", TensorProto.FLOAT, sides)],
        [helper.make_tensor_value_info("ab", TensorProto.FLOAT, sides)],
        [helper.make_tensor("k", TensorProto.FLOAT16, [], [1000.0])],
    )
    path = tmp_path / "overflow.onnx"
    opset = [helper.make_opsetid("", 21)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=10), path)
    given = np.full(sides, 50, np.float32)
    assert np.allclose(onnxruntime_answer(path)(given), 50)
    assert np.isinf(reference_answer(path)(given)).all()


class Overflow(nn.Module):
    """Values of 300,000 between two convolutions: float16 ends at 65,504."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 8, 3, padding=1)
        self.up = nn.Conv2d(8, 8, 1)
        self.down = nn.Conv2d(8, 8, 1)
        self.last = nn.Conv2d(8, 2, 3, padding=1)

    def forward(self, L: Tensor) -> Tensor:
        x = torch.relu(self.first(L / 50))
        answer: Tensor = self.last(torch.relu(self.down(torch.relu(self.up(x)))))
        return answer


@pytest.fixture
def overflowing() -> Overflow:
    torch.manual_seed(0)
    network = Overflow().eval()
    with torch.no_grad():
        network.up.weight.abs_().mul_(3e5)
        network.down.weight.div_(3e5)
    return network


def test_layers_that_float16_cannot_hold_stay_in_float32(overflowing: Overflow) -> None:
    batches = sample_batches(8, (64,), photos=2)
    assert set(rank_layers(overflowing, batches[0])[:2]) == {"up", "down"}
    lines: list[str] = []
    kept, proof = halve(overflowing, batches, lines.append)
    assert set(kept) == {"up", "down"}
    assert proof.passed
    assert "kept in float32: " + ", ".join(kept) in lines[-1]
    types = {p.dtype for p in HalvedNetwork(overflowing, kept).parameters()}
    assert types == {torch.float16, torch.float32}


def test_a_healthy_network_is_halved_whole(checkpoint_file: Path) -> None:
    network = load_checkpoint(checkpoint_file).network
    kept, proof = halve(network, sample_batches(32, (64,), photos=1), pytest.fail)
    assert kept == ()
    assert proof.passed


@pytest.fixture
def planted_file(trained_like: Callable[..., Checkpoint], tmp_path: Path) -> Path:
    """A checkpoint with a convolution that overflows float16, and one behind it that undoes it."""
    checkpoint = trained_like("unet", UNetConfig("plain", (8, 8), (8,)))
    weights = checkpoint.network.state_dict()  # shares memory with the network
    for name in ("first.1.weight", "first.1.bias"):
        weights[f"encoder.levels.0.1.{name}"].mul_(3e5)
    weights["encoder.levels.0.1.second.0.weight"].div_(3e5)
    path = tmp_path / "planted.safetensors"
    checkpoint.save(path)
    return path


@pytest.mark.slow
def test_an_fp16_export_names_the_layers_it_kept(
    planted_file: Path, colorize_export: Run, tmp_path: Path
) -> None:
    target = tmp_path / "net.onnx"
    run = colorize_export("--engine", "fp16", "--checkpoint", planted_file, "-o", target)
    assert run.returncode == 0, run.stderr
    assert "float16 fails (torch, fp16: CIEDE2000 mean nan" in run.stderr
    kept = json.loads(target.with_suffix(".json").read_text())["float32_layers"]
    assert sorted(kept) == ["encoder.levels.0.1.first.0", "encoder.levels.0.1.second.0"]
    kinds = {w.data_type for w in onnx.load(target).graph.initializer if np.prod(w.dims) > 4}
    assert kinds == {TensorProto.FLOAT, TensorProto.FLOAT16}
    assert f"kept in float32: {', '.join(kept)}" in " ".join(run.stderr.split())
    target.with_suffix(".json").unlink()  # the file itself knows what it keeps
    again = colorize_export("--verify", target, "--checkpoint", planted_file)
    assert again.returncode == 0, again.stderr


@pytest.fixture
def traced_before(exported: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Spares the exporter's seconds: the file of `checkpoint_file` was made before."""
    monkeypatch.setattr(job, "export_onnx", lambda *_, **__: onnx.load(exported["fp32"]))


@pytest.mark.usefixtures("traced_before")
@pytest.mark.parametrize("breach", ["figures", "answers that are not finite"])
def test_a_refused_file_is_kept_under_another_name(
    breach: str,
    colorize_export: Run,
    checkpoint_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if breach == "figures":
        monkeypatch.setattr(examine, "FLOAT32", Bound("|Δab|", 0.0, 0.0, 1.0))
    else:
        monkeypatch.setattr(OpenVINOEngine, "_compute", lambda _, L: np.full_like(L, np.nan))
    run = colorize_export("--checkpoint", checkpoint_file, "-o", tmp_path / "net.onnx")
    assert run.returncode == 1
    line = run.stderr.splitlines()[-1]
    assert "colorize-export: refused: " in line
    assert str(tmp_path / "net.refused.onnx") in line
    assert [path.name for path in tmp_path.iterdir()] == ["net.refused.onnx"]
    assert run.stdout == ""


@pytest.mark.usefixtures("traced_before")
@pytest.mark.parametrize("option", ["--graph=image", "--engine=int8"])
def test_a_refused_network_is_kept_where_its_file_would_have_gone(
    option: str,
    colorize_export: Run,
    checkpoint_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The network of these files is made in a temporary folder, which is gone when they end."""
    monkeypatch.setattr(examine, "FLOAT32", Bound("|Δab|", 0.0, 0.0, 1.0))
    run = colorize_export(option, "--checkpoint", checkpoint_file, "-o", tmp_path / "net.onnx")
    assert run.returncode == 1
    line = run.stderr.splitlines()[-1]
    assert line.endswith(f"; kept for inspection as {tmp_path / 'net.refused.onnx'}")
    assert [path.name for path in tmp_path.iterdir()] == ["net.refused.onnx"]


class Coarse(OpenVINOEngine):
    """Plays a CPU whose bf16 is harmful, or that has none."""

    able = True

    def __init__(self, model: Path, precision: Precision = "auto") -> None:
        if precision == "bf16" and not self.able:
            raise EngineError("OpenVINO cannot compute bf16 on this CPU")
        super().__init__(model, "fp32")
        self.coarse = precision == "bf16"

    def infer(self, lightness: F32, hints: F32 | None = None) -> F32:
        ab = super().infer(lightness, hints)
        return (np.round(ab / 8) * 8).astype(np.float32) if self.coarse else ab


@pytest.mark.usefixtures("traced_before")
def test_a_model_that_fails_in_bf16_is_run_in_float32(
    colorize_export: Run,
    colorize_run: Run,
    checkpoint_file: Path,
    photo: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(examine, "OpenVINOEngine", Coarse)
    target = tmp_path / "net.onnx"
    run = colorize_export("--checkpoint", checkpoint_file, "-o", target)
    assert run.returncode == 0, run.stderr
    assert "failed: openvino, bf16" in run.stderr
    assert "OpenVINO will run this file in float32" in run.stderr
    assert refused_precisions(target) == ("bf16",)
    with OpenVINOEngine(target) as engine:
        assert engine.precision == "fp32"
        assert (
            engine._requests["LATENCY", True][0]
            .get_compiled_model()
            .get_property("INFERENCE_PRECISION_HINT")
            .to_string()
            == "f32"
        )
    shown = colorize_run("--model", target, photo, "-o", tmp_path / "photo.png")
    assert "openvino on CPU, fp32 (in bf16 this model failed its proof)" in shown.stderr

    target.write_bytes(target.read_bytes() + b"\n")  # another file now: the figures are not its own
    assert refused_precisions(target) == ()


@pytest.mark.parametrize("text", ["", "[1]", '{"name": "mine"}', "not json"])
def test_a_json_file_of_another_kind_beside_a_model_does_not_matter(
    text: str, tiny_model: Path, tmp_path: Path
) -> None:
    model = tmp_path / "net.onnx"
    model.write_bytes(tiny_model.read_bytes())
    model.with_suffix(".json").write_text(text)
    with OpenVINOEngine(model) as engine:
        assert "failed its proof" not in engine.remark


@pytest.mark.usefixtures("traced_before")
def test_a_cpu_without_bf16_leaves_it_unproved_and_says_so(
    colorize_export: Run, checkpoint_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Coarse, "able", False)
    monkeypatch.setattr(examine, "OpenVINOEngine", Coarse)
    target = tmp_path / "net.onnx"
    run = colorize_export("--checkpoint", checkpoint_file, "-o", target)
    assert run.returncode == 0
    assert "not proved in bf16: OpenVINO cannot compute bf16 on this CPU" in run.stderr
    assert refused_precisions(target) == ()


def test_bf16_rounds_where_the_cpu_can(exported: dict[str, Path]) -> None:
    try:
        engine = OpenVINOEngine(exported["fp32"], "bf16")
    except EngineError as error:
        pytest.skip(str(error))
    [batch] = square_batch(32, 64)
    exact = OpenVINOEngine(exported["fp32"], "fp32").infer(batch)
    assert engine.precision == "bf16"
    assert 0.01 < np.abs(engine.infer(batch) - exact).max() < 10
