"""SIMULATED driver and TensorRT: the native engine's memory, order of work, shapes and devices."""

import ctypes
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import tensorrt  # tests/simulated/modules'

from colorize.runtime.cli import main as run_main
from colorize.runtime.color import F32
from colorize.runtime.colorizer import Colorizer
from colorize.runtime.engines.onnxruntime import OnnxRuntimeEngine
from colorize.runtime.engines.select import engine_devices, open_engine
from colorize.runtime.engines.tensorrt import memory as gpu
from colorize.runtime.engines.tensorrt import session as trt_session
from colorize.runtime.engines.tensorrt.engine import TensorRTEngine
from colorize.runtime.engines.tensorrt.plan import (
    Profile,
    engine_path,
    read_build_config,
    store_engine,
)
from colorize.runtime.errors import ArgumentError, EngineError, ModelError, OutOfMemoryError
from colorize.runtime.models.contract import ModelInfo

from .conftest import LANDSCAPE, Count, Driver

Store = Callable[..., Path]
Run = Callable[..., subprocess.CompletedProcess[str]]
SHAPES = [(1, 1, 16, 16), (8, 1, 64, 128), (2, 1, 32, 48), (3, 1, 128, 64), (8, 1, 16, 16)]
pytestmark = pytest.mark.usefixtures("driver")  # which finds whatever a test leaves behind
both_ways = pytest.mark.parametrize("cuda_graph", [False, True])


def noise(*shape: int, seed: int = 0) -> F32:
    return np.random.default_rng(seed).uniform(0, 100, shape).astype(np.float32)


def truth(lightness: F32) -> F32:
    return np.concatenate([20 + 0.2 * lightness, 40 - 0.6 * lightness], axis=1)


def check(engine: TensorRTEngine, *shape: int, seed: int = 0) -> None:
    lightness = noise(*shape, seed=seed)
    np.testing.assert_allclose(engine.infer(lightness), truth(lightness), atol=1e-4)


@both_ways
def test_answers_of_many_shapes_are_the_networks(cuda_graph: bool, store: Store) -> None:
    model = store()
    with TensorRTEngine(model, cuda_graph=cuda_graph) as engine:
        for seed, shape in enumerate(SHAPES * 3):
            check(engine, *shape, seed=seed)
        lightness = noise(4, 1, 32, 64)
        with OnnxRuntimeEngine(model) as other:
            assert np.abs(engine.infer(lightness) - other.infer(lightness)).max() < 1e-3


@both_ways
def test_hints_go_with_their_pictures(
    cuda_graph: bool, store: Store, tiny_hint_model: Path, tiny_info: ModelInfo
) -> None:
    info = replace(tiny_info, takes_hints=True)
    at_least_three = replace(LANDSCAPE, low=(3, 1, 16, 16), inputs=info.inputs)
    model = store(at_least_three, network=tiny_hint_model, info=info, inputs=info.inputs)
    with TensorRTEngine(model, cuda_graph=cuda_graph) as engine:
        for seed, count in enumerate((1, 8, 8, 19)):  # filled up, whole, and split
            lightness = noise(count, 1, 32, 64, seed=seed)
            hints = noise(count, 3, 32, 64, seed=seed + 9) / np.float32(100)
            expected = truth(lightness) + hints[:, :2] * hints[:, 2:]
            np.testing.assert_allclose(engine.infer(lightness, hints), expected, atol=1e-4)
            np.testing.assert_allclose(engine.infer(lightness), truth(lightness), atol=1e-4)
        assert engine.timeline(lightness, hints).compute_ms >= 0
    mislabelled = store(network=tiny_hint_model, info=info)  # an engine without that input
    with pytest.raises(ModelError, match="inputs are L; the contract has inputs L and hints"):
        TensorRTEngine(mislabelled)


@both_ways
def test_answers_stay_what_they_were(cuda_graph: bool, store: Store) -> None:
    """The pinned memory is used again; what was answered must not be in it."""
    with TensorRTEngine(store(), cuda_graph=cuda_graph) as engine:
        inputs = [noise(2, 1, 32, 32, seed=seed) for seed in range(4)]
        answers = [engine.infer(lightness) for lightness in inputs]
    for lightness, answer in zip(inputs, answers, strict=True):
        np.testing.assert_allclose(answer, truth(lightness), atol=1e-4)


@both_ways
@pytest.mark.parametrize("count", [1, 3, 8, 9, 17, 30])
def test_any_batch_is_split_or_filled_up(cuda_graph: bool, count: int, store: Store) -> None:
    at_least_three = Profile((3, 1, 16, 16), (4, 1, 32, 64), (8, 1, 64, 128))
    with TensorRTEngine(store(at_least_three), cuda_graph=cuda_graph) as engine:
        assert engine.best_batch == 4
        check(engine, count, 1, 16, 32)


def test_memory_grows_and_never_shrinks(store: Store, driver: Driver) -> None:
    with TensorRTEngine(store()) as engine:
        assert driver.count(Count.DEVICE_BYTES) == 0  # TensorRT would take all it may ever need
        held = []
        for shape in [(1, 1, 16, 16), (8, 1, 64, 128), (1, 1, 16, 16), (8, 1, 64, 128)]:
            check(engine, *shape)
            held.append((driver.count(Count.DEVICE_BYTES), driver.count(Count.PINNED_BYTES)))
    pixels = 8 * 64 * 128
    assert held[0] == (256 * (4 + 8 + 16), 256 * (4 + 8))  # in, out, workspace
    assert held[1:] == [(pixels * (4 + 8 + 16), pixels * (4 + 8))] * 3


def test_old_and_new_memory_are_never_held_together(store: Store, driver: Driver) -> None:
    pixels = 8 * 64 * 128
    driver.set_memory(pixels * (4 + 8 + 16))
    with TensorRTEngine(store()) as engine:
        check(engine, 7, 1, 64, 128)
        check(engine, 8, 1, 64, 128)


@both_ways
def test_too_little_memory_is_told_and_less_is_still_possible(
    cuda_graph: bool, store: Store, driver: Driver
) -> None:
    driver.set_memory(4 * 64 * 128 * 28 + 1000)
    with TensorRTEngine(store(), cuda_graph=cuda_graph) as engine:
        check(engine, 2, 1, 64, 128)
        for _ in range(2):
            with pytest.raises(OutOfMemoryError, match="too little GPU memory"):
                engine.infer(noise(8, 1, 64, 128))
            check(engine, 4, 1, 64, 128)
            check(engine, 2, 1, 64, 128)


@pytest.mark.parametrize("refused", ["batches", "context"])
def test_tensorrts_own_lack_of_memory_is_told_too(refused: str, store: Store) -> None:
    with (
        TensorRTEngine(store(refuses=refused)) as engine,
        pytest.raises(OutOfMemoryError, match=r"(?i)out ?of ?memory"),
    ):
        engine.infer(noise(2, 1, 16, 16))


def test_a_graph_is_captured_once_for_each_shape(
    store: Store, driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    executed: list[tuple[int, ...]] = []
    real = tensorrt.IExecutionContext.execute_async_v3

    def execute(context: Any, stream_handle: int) -> bool:
        executed.append(context._shape)
        return bool(real(context, stream_handle))

    monkeypatch.setattr(tensorrt.IExecutionContext, "execute_async_v3", execute)
    with TensorRTEngine(store(), cuda_graph=True) as engine:
        for shape in SHAPES[1:3] * 5:
            check(engine, *shape, seed=len(executed))
        # The larger came first: both graphs stay good. Run once, captured once, then launched.
        assert executed == [SHAPES[1]] * 2 + [SHAPES[2]] * 2
        assert driver.count(Count.GRAPHS) == 2


def test_graphs_are_captured_anew_when_memory_has_moved(store: Store, driver: Driver) -> None:
    with TensorRTEngine(store(), cuda_graph=True) as engine:
        for _ in range(2):
            check(engine, 1, 1, 16, 16)
        for _ in range(2):
            check(engine, 8, 1, 64, 128)
        for seed in range(3):
            check(engine, 1, 1, 16, 16, seed=seed)
        assert driver.count(Count.GRAPHS) == 2


def test_the_number_of_graphs_is_bounded(store: Store, driver: Driver) -> None:
    with TensorRTEngine(store(), cuda_graph=True) as engine:
        for count in range(1, 9):
            for width in (16, 24, 32):
                check(engine, count, 1, 16, width)
        assert driver.count(Count.GRAPHS) == trt_session._MOST_GRAPHS


def test_an_engine_works_in_any_thread(store: Store, driver: Driver) -> None:
    def work(engine: TensorRTEngine) -> dict[str, int]:
        check(engine, 2, 1, 32, 32)
        return {"pushed": driver.count(Count.PUSHED)}

    with ThreadPoolExecutor(1) as pool:
        engine = pool.submit(TensorRTEngine, store()).result()
        check(engine, 8, 1, 64, 64)
        assert pool.submit(work, engine).result() == {"pushed": 0}
        assert driver.count(Count.PUSHED) == 0
        pool.submit(engine.close).result()
        assert driver.live() == {}


def test_two_engines_share_a_gpu(store: Store, driver: Driver) -> None:
    model = store()
    with TensorRTEngine(model) as first:
        with TensorRTEngine(model) as second, ThreadPoolExecutor(2) as pool:
            for engine in (first, second) * 4:
                pool.submit(check, engine, 3, 1, 32, 32).result()
            assert driver.count(Count.STREAMS) == 2
        check(first, 1, 1, 16, 16)
        assert driver.count(Count.STREAMS) == driver.count(Count.CONTEXTS) == 1


def test_another_librarys_context_stays_current(store: Store, driver: Driver) -> None:
    """As torch leaves the primary context current in its threads."""
    library, theirs, now = driver.library, ctypes.c_void_p(), ctypes.c_void_p()
    library.cuDevicePrimaryCtxRetain(ctypes.byref(theirs), 1)
    library.cuCtxPushCurrent_v2(theirs)
    with TensorRTEngine(store()) as engine:
        check(engine, 1, 1, 16, 16)
        library.cuCtxGetCurrent(ctypes.byref(now))
        assert now.value == theirs.value
    library.cuCtxGetCurrent(ctypes.byref(now))
    assert (now.value, driver.count(Count.PUSHED)) == (theirs.value, 1)
    library.cuCtxPopCurrent_v2(ctypes.byref(now))
    library.cuDevicePrimaryCtxRelease_v2(1)


def test_closing_twice_is_harmless_and_using_it_then_is_refused(store: Store) -> None:
    engine = TensorRTEngine(store())
    engine.close()
    engine.close()
    with pytest.raises(EngineError, match="the engine is closed"):
        engine.infer(noise(1, 1, 16, 16))


def test_shapes_outside_every_profile_are_refused_with_the_mend(store: Store) -> None:
    model = store()
    with TensorRTEngine(model) as engine:
        with pytest.raises(EngineError) as refusal:
            engine.infer(noise(1, 1, 96, 160))
        check(engine, 1, 1, 16, 16)
    told = str(refusal.value)
    assert "pictures of 160x96 are outside what the engine was built for" in told
    assert "16x16 to 128x64 and 16x16 to 64x128" in told
    assert "colorize-export --engine fp16 " in told
    assert " --size 16,32,96 (then give --model " in told


def test_a_square_beyond_both_profiles_is_refused(store: Store) -> None:
    with TensorRTEngine(store()) as engine:
        check(engine, 1, 1, 64, 64)
        with pytest.raises(EngineError, match="pictures of 128x128 are outside"):
            engine.infer(noise(1, 1, 128, 128))


def test_the_gpu_asked_for_is_the_one_that_works(store: Store, driver: Driver) -> None:
    model = store(capabilities=("86",))
    with pytest.raises(EngineError, match="built for compute capability 86, this GPU has 89"):
        TensorRTEngine(model)
    with TensorRTEngine(model, device="cuda:1") as engine:
        assert (engine.device, engine.precision, engine.name) == ("cuda:1", "fp16", "tensorrt")
        assert str(engine) == "tensorrt on cuda:1, fp16"
        check(engine, 2, 1, 32, 32)
    with pytest.raises(EngineError, match=r"device cuda:2: there is no such GPU; here are cuda:0"):
        TensorRTEngine(model, device="cuda:2")
    with pytest.raises(ArgumentError, match="'cpu'"):
        TensorRTEngine(model, device="cpu")
    driver.set_gpus(0)
    with pytest.raises(EngineError, match="the NVIDIA driver reports no GPU"):
        TensorRTEngine(model)


def test_devices_are_listed_with_what_they_lack(driver: Driver) -> None:
    listed = [(one.device, one.name, one.problem) for one in engine_devices()["tensorrt"]]
    assert listed == [("cuda:0", "SIMULATED GPU 0", ""), ("cuda:1", "SIMULATED GPU 1", "")]
    driver.set_gpus(0)
    [none] = engine_devices()["tensorrt"]
    assert none.problem == "the NVIDIA driver reports no GPU"


def test_another_precision_than_the_engines_is_refused(store: Store) -> None:
    with TensorRTEngine(store(), precision="fp16") as engine:
        assert engine.precision == "fp16"
    with pytest.raises(EngineError, match="computes in fp16, not in fp32; give --precision auto"):
        TensorRTEngine(store(), precision="fp32")


def test_engines_of_another_version_or_model_are_refused(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = store()
    monkeypatch.setattr(tensorrt, "__version__", "11.5")
    with pytest.raises(EngineError, match=r"version is 11\.4\.simulated, not 11\.5") as refusal:
        open_engine(model, "tensorrt")
    assert "; build one: colorize-export --engine fp16 --checkpoint FILE -o" in str(refusal.value)


def test_engines_that_tensorrt_cannot_load_leave_nothing_behind(
    store: Store, tiny_info: ModelInfo
) -> None:
    model = store()
    plan = engine_path(model, "tensorrt")
    store_engine(plan, b"no plan", read_build_config(plan), tiny_info.to_metadata())
    with pytest.raises(EngineError, match="cannot load it: Serialization assertion magicTagRead"):
        TensorRTEngine(model)


@pytest.mark.parametrize(
    ("plan", "breach"),
    [
        ({"output": "rgb"}, "outputs are rgb; the contract has one output, ab"),
        ({"channels": 3}, r"output ab has shape \[-1, 3, -1, -1\]"),
        ({"dtype": "HALF"}, "input L is DataType.HALF, the contract has float32"),
    ],
)
def test_engines_that_break_the_contract_are_refused(
    plan: dict[str, object], breach: str, store: Store
) -> None:
    with pytest.raises(ModelError, match=breach):
        TensorRTEngine(store(**plan))


def test_the_colorizer_gives_the_same_picture_on_it(store: Store) -> None:
    model = store(Profile((1, 1, 64, 64), (8, 1, 64, 64), (8, 1, 64, 128)))
    gray = noise(90, 120, seed=3).astype(np.uint8)
    with Colorizer(model, backend="tensorrt", device="cuda:1") as native:
        colored = native.image(gray)
    with Colorizer(model, backend="onnxruntime") as other:
        assert np.abs(colored.astype(int) - other.image(gray)).max() <= 1
    assert colored.std(axis=2).max() > 5


@pytest.mark.parametrize("more", [(), ("--cuda-graph",)])
def test_the_command_runs_on_it_within_its_memory(
    more: tuple[str, ...],
    store: Store,
    driver: Driver,
    small_video: Path,
    tmp_path: Path,
    in_process: Run,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = store(Profile((1, 1, 64, 64), (8, 1, 64, 64), (8, 1, 96, 128)))
    target = tmp_path / "out.mkv"
    words = ["--model", model, "--backend", "tensorrt", "--device", "cuda:1", "-o", target]
    driver.set_memory(6 * 64 * 88 * 28)
    launched: list[object] = []
    real = gpu.Graph.launch

    def launch(graph: gpu.Graph, stream: Any) -> None:
        launched.append(graph)
        real(graph, stream)

    monkeypatch.setattr(gpu.Graph, "launch", launch)
    run = in_process(run_main, *words, *more, small_video)
    assert run.returncode == 0, run.stderr
    assert bool(launched) == bool(more)
    assert "tensorrt on cuda:1, fp16" in run.stderr
    assert "out of memory with 8 pictures at once; going on with 4" in run.stderr
    with av.open(str(target)) as video:
        frames = [frame.to_ndarray(format="rgb24") for frame in video.decode(video=0)]
    assert len(frames) == 10
    assert min(frame.std(axis=2).mean() for frame in frames) > 5


def test_what_pycuda_raises_is_told_in_one_line(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu, "_NON_BLOCKING", -1)
    with pytest.raises(EngineError, match=r"^tensorrt on cuda:0: .*(int|argument)"):
        TensorRTEngine(store())
    monkeypatch.setitem(sys.modules, "colorize.runtime.engines.tensorrt.session", None)
    with pytest.raises(EngineError, match=r"^tensorrt on cuda:0: import of .* halted"):
        TensorRTEngine(store())


def test_the_timeline_is_of_the_streams_clock(store: Store) -> None:
    """The simulated clock: a copy moves a GB in a second, the network takes a millisecond."""
    with TensorRTEngine(store()) as engine:
        for batch, runs in ((8, 1), (20, 3)):
            found = engine.timeline(noise(batch, 1, 64, 128))
            sent = batch * 64 * 128 * 4 / 1e6
            assert found.to_device_ms == pytest.approx(sent, rel=1e-3)
            assert found.compute_ms == pytest.approx(runs, rel=1e-3)
            assert found.to_host_ms == pytest.approx(2 * sent, rel=1e-3)


def test_a_timeline_from_another_thread_leaves_no_events(store: Store, driver: Driver) -> None:
    with TensorRTEngine(store()) as engine, ThreadPoolExecutor(1) as pool:
        assert pool.submit(engine.timeline, noise(1, 1, 16, 16)).result().compute_ms > 0
        assert driver.count(Count.EVENTS) == 0
