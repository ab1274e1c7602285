"""The flags that several verbs share: one noun is one flag everywhere."""

from pathlib import Path
from typing import Annotated

import typer

__all__ = [
    "Control",
    "Data",
    "DryRun",
    "Force",
    "Formats",
    "Json",
    "Loss",
    "Out",
    "Preset",
    "PrintConfig",
    "Prune",
    "RecipeFile",
    "Run",
    "Seed",
    "Set",
    "Strategy",
    "Student",
    "Target",
    "Teacher",
    "Time",
    "Unlabelled",
    "Weights",
]

Run = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder made by 'run', 'distill' or 'finetune'.")]
Data = Annotated[
    str | None, typer.Option(help="Folder of class folders, with or without train/val/test below it; or 'digits'.")
]
Weights = Annotated[
    str | None,
    typer.Option(metavar="default|none|FILE", help="Pretrained, random, or a .safetensors file for the network."),
]
Out = Annotated[Path | None, typer.Option(help="Run folder to write; runs/DATA-MODEL if left out.")]
Seed = Annotated[int | None, typer.Option(help="Seeds the split, the views and the initial weights.")]
Set = Annotated[list[str] | None, typer.Option("--set", metavar="A.B=C", help="Any field of the recipe; repeatable.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Target = Annotated[str | None, typer.Option(help="Device to export for; 'edgetl targets' lists them.")]
Formats = Annotated[str | None, typer.Option("--format", metavar="F,F", help="Any of onnx,tflite,openvino.")]
Teacher = Annotated[
    str | None,
    typer.Option(
        help="Model name, 'auto', or run folders of trained teachers; several, separated by commas, act as one."
    ),
]
Student = Annotated[str | None, typer.Option(help="Model name: an alias, a timm name or torchvision:NAME.")]
RecipeFile = Annotated[
    Path | None, typer.Argument(metavar="RECIPE.yaml", help="A recipe; 'edgetl init' writes one.", show_default=False)
]
Preset = Annotated[
    str | None, typer.Option("--recipe", metavar="fast|balanced|patient", help="How much training the student gets.")
]
Loss = Annotated[
    str | None,
    typer.Option(metavar="L[=W],...", help="Any of kd,dkd,dist,crd,feature,hard, weighted: dist=2,hard."),
]
Unlabelled = Annotated[
    str | None, typer.Option(metavar="DIR", help="More images, labels not needed: the teacher knows them.")
]
Control = Annotated[
    bool, typer.Option("--control", help="Also train without the teacher, and say whether it helped (3 seeds).")
]
Prune = Annotated[
    float | None,
    typer.Option(
        metavar="FRACTION", help="Prune the student to this fraction of its latency, measured here, such as 0.6."
    ),
]
Strategy = Annotated[
    str | None,
    typer.Option(
        metavar="auto|features|partial|gradual|full|lpft|lora",
        help="How much is trained; 'auto' tries, and keeps the best.",
    ),
]
Time = Annotated[
    str | None,
    typer.Option(metavar="5m|90s|1h30m", help="Time for all training on this machine, which is planned to fit."),
]
PrintConfig = Annotated[bool, typer.Option("--print-config", help="Print the recipe that would run, and stop.")]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Show what would run, what is current and how long it may take, and stop.")
]
Force = Annotated[
    bool, typer.Option("--force", help="Overwrite a network of another model, or one trained on other data.")
]
