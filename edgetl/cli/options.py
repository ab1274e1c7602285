"""The flags that several verbs share: one noun is one flag everywhere.

Values are text here, numbers too: the recipe reads them, and says what it expects.
"""

from pathlib import Path
from typing import Annotated

import typer

from edgetl.cli import completion

__all__ = [
    "BatchSize",
    "Control",
    "Data",
    "DryRun",
    "Epochs",
    "Force",
    "Formats",
    "Json",
    "Loss",
    "MaxDrop",
    "Model",
    "Out",
    "Preset",
    "PrintConfig",
    "Prune",
    "Quiet",
    "Run",
    "Scheme",
    "Seed",
    "Set",
    "Strategy",
    "Student",
    "Target",
    "Teacher",
    "Time",
    "Unlabelled",
    "Weights",
    "What",
]

_NETWORKS, _TRAINING, _DEVICE, _RUN = "Networks", "Training", "Device", "Recipe and run"

What = Annotated[
    Path | None,
    typer.Argument(
        metavar="FOLDER|RECIPE.yaml",
        help="Your images, or a recipe; 'edgetl init' writes one. Without either: handwritten digits.",
        show_default=False,
    ),
]
Run = Annotated[
    Path,
    typer.Argument(
        metavar="RUN",
        help="A run folder made by 'run', 'distill' or 'finetune'.",
        autocompletion=completion.run_folders,
    ),
]
Data = Annotated[
    str | None,
    typer.Option(
        metavar="FOLDER",
        help="Folder of class folders, with or without train/val/test below it; or 'digits'.",
        autocompletion=completion.folders,
    ),
]

Model = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="An alias such as resnet50, a timm name or torchvision:NAME. \\[default: resnet50]",
        rich_help_panel=_NETWORKS,
        autocompletion=completion.models,
    ),
]
Teacher = Annotated[
    str | None,
    typer.Option(
        metavar="NAME|auto|RUN,...",
        help="A model, 'auto', or run folders of teachers; several, with commas, act as one. \\[default: resnet50]",
        rich_help_panel=_NETWORKS,
        autocompletion=completion.teachers,
    ),
]
Student = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="An alias such as mobilenetv2, a timm name or torchvision:NAME. \\[default: mobilenetv2]",
        rich_help_panel=_NETWORKS,
        autocompletion=completion.models,
    ),
]
Weights = Annotated[
    str | None,
    typer.Option(
        metavar="default|none|FILE",
        help="Pretrained, random, or a .safetensors file for the network. \\[default: default]",
        rich_help_panel=_NETWORKS,
        autocompletion=completion.weights,
    ),
]

Preset = Annotated[
    str | None,
    typer.Option(
        "--recipe",
        metavar="fast|balanced|patient",
        help="How much training a student gets that learns from scratch.",
        rich_help_panel=_TRAINING,
        autocompletion=completion.presets,
    ),
]
Strategy = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="auto, features, partial, gradual, full, lpft or lora; 'auto' keeps what is best. \\[default: auto]",
        rich_help_panel=_TRAINING,
        autocompletion=completion.strategies,
    ),
]
Time = Annotated[
    str | None,
    typer.Option(
        metavar="5m|90s|1h30m",
        help="Time for all training on this machine, which is planned to fit.",
        rich_help_panel=_TRAINING,
    ),
]
Epochs = Annotated[
    str | None,
    typer.Option(
        metavar="N",
        help="Passes over the training images. \\[default: 30; from a fitted head 8 or 16]",
        rich_help_panel=_TRAINING,
    ),
]
BatchSize = Annotated[
    str | None,
    typer.Option(metavar="N", help="Images of a training step. \\[default: auto]", rich_help_panel=_TRAINING),
]
Loss = Annotated[
    str | None,
    typer.Option(
        metavar="L[=W],...",
        help="Any of kd,dkd,dist,crd,feature,hard, weighted: dist=2,hard.",
        rich_help_panel=_TRAINING,
    ),
]
Unlabelled = Annotated[
    str | None,
    typer.Option(
        metavar="DIR",
        help="More images, labels not needed: the teacher knows them.",
        rich_help_panel=_TRAINING,
        autocompletion=completion.folders,
    ),
]
Control = Annotated[
    bool,
    typer.Option(
        "--control",
        help="Also train without the teacher, and say whether it helped (3 seeds).",
        rich_help_panel=_TRAINING,
    ),
]
Prune = Annotated[
    str | None,
    typer.Option(
        metavar="FRACTION",
        help="Prune the student to this fraction of its latency, measured here, such as 0.6 or 60%.",
        rich_help_panel=_TRAINING,
    ),
]

Target = Annotated[
    str | None,
    typer.Option(
        metavar="DEVICE",
        help="Device to export for; 'edgetl targets' lists them. \\[default: linux-x86]",
        rich_help_panel=_DEVICE,
        autocompletion=completion.targets,
    ),
]
Formats = Annotated[
    str | None,
    typer.Option(
        "--format", metavar="F,F", help="Any of onnx,tflite,openvino. \\[default: all that the device runs]",
        rich_help_panel=_DEVICE, autocompletion=completion.formats,
    ),
]  # fmt: skip
Scheme = Annotated[
    str | None,
    typer.Option(
        metavar="S,S",
        help="Any of int8 (w8a8), fp16, w8 (weights alone), dynamic. \\[default: int8]",
        rich_help_panel=_DEVICE,
        autocompletion=completion.schemes,
    ),
]
MaxDrop = Annotated[
    str | None,
    typer.Option(
        metavar="FRACTION",
        help="Largest loss of top-1: 0.01 or 1% is one percentage point. \\[default: 1%]",
        rich_help_panel=_DEVICE,
    ),
]

Out = Annotated[
    Path | None,
    typer.Option(
        "--out", "-o", metavar="RUN", help="Run folder to write. \\[default: runs/DATA-MODEL]", rich_help_panel=_RUN
    ),
]
Seed = Annotated[
    str | None,
    typer.Option(
        metavar="N", help="Seeds the split, the views and the initial weights. \\[default: 0]", rich_help_panel=_RUN
    ),
]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="A.B=C",
        help="Any field of the recipe; repeatable. 'edgetl init' writes down all of them.",
        rich_help_panel=_RUN,
        autocompletion=completion.settings,
    ),
]
PrintConfig = Annotated[
    bool,
    typer.Option("--print-config", help="Print the recipe that would run, and stop.", rich_help_panel=_RUN),
]
DryRun = Annotated[
    bool,
    typer.Option(
        "--dry-run",
        help="Show what would run, what is current and how long it may take, and stop.",
        rich_help_panel=_RUN,
    ),
]
Force = Annotated[
    bool,
    typer.Option(
        "--force", help="Overwrite a network of another model, or one trained on other data.", rich_help_panel=_RUN
    ),
]
Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", help="Show the result alone, without progress.", rich_help_panel=_RUN)
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.", rich_help_panel=_RUN)]
