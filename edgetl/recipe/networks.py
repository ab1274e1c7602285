"""The recipe's fields of networks: how teacher and student are trained, and what one learns from the other."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from edgetl.recipe.section import PLACE, Section, as_fraction, as_text, with_usual_names

__all__ = [
    "ControlConfig",
    "DistillConfig",
    "Loss",
    "ModelConfig",
    "PruneConfig",
    "Strategy",
    "StudentConfig",
    "TeacherConfig",
    "usual_weights",
]

Loss = Literal["kd", "dkd", "dist", "crd", "feature", "hard"]
Losses = dict[Loss, Annotated[float, Field(gt=0, le=1000)]]
usual_weights = with_usual_names({"imagenet": "default", "pretrained": "default", "random": "none"})
"""'default' and 'none' for what other tools call them."""

Strategy = Literal["auto", "features", "partial", "gradual", "full", "lpft", "lora"]
_usual_strategy = with_usual_names({"head": "features", "linear": "features", "frozen": "features", "all": "full"})
"""Strategies for what other tools call them."""


class ModelConfig(Section):
    """A network and how it is trained."""

    model: str
    """An alias such as resnet50, any timm name, or torchvision:NAME."""

    weights: Annotated[str, BeforeValidator(usual_weights)] = "default"
    """'default' loads pretrained weights, 'none' starts from random ones, FILE.safetensors loads a file."""

    small_images: Literal["auto", "keep"] = "auto"
    """'auto' takes strides out of the stem until the last feature map is at least 3 x 3; 'keep' never does."""

    strategy: Annotated[Strategy, BeforeValidator(_usual_strategy)] = "auto"
    """How much is trained: features, partial, gradual, full, lpft, lora, or auto, which tries (docs/transfer.md)."""

    train_from: Annotated[str, BeforeValidator(as_text)] = "auto"
    """First stage that partial and auto train: a name (--list-stages) or how many of the last; 'auto': over half."""

    lora_rank: int = Field(8, ge=1, le=256)
    """Rank of the updates that strategy lora trains, in columns; their factor alpha is twice the rank."""

    tuning_epochs: Annotated[int, Field(ge=1, le=10_000)] | Literal["auto"] = "auto"
    """Passes over the training images from a fitted head, as in all strategies but full; 'auto': 8, taught 16."""

    head_units: int = Field(0, ge=0, le=65_536)
    """Units of a hidden layer beside the linear head; 0 for none. A fitted head uses it only if it answers better."""

    views: Annotated[int, Field(ge=1, le=64)] | Literal["auto"] = "auto"
    """Augmented views of each image that a fitted head learns from; 'auto': 8, fewer of more than 2,500 images."""

    epochs: int = Field(20, ge=1, le=10_000)
    """Passes over the training images where the whole network is trained with a new head (strategy full)."""

    batch_size: Annotated[int, Field(ge=2, le=4096)] | Literal["auto"] = "auto"
    """Images that are computed at once, `accumulate` times a step; 'auto': 32, from a fitted head 16 of under 1,000."""

    accumulate: int = Field(1, ge=1, le=1024)
    """Batches whose gradients are summed before a step: as one larger batch, in the memory of a small one."""

    optimizer: Literal["adamw", "sgd"] = "adamw"
    """adamw (arXiv 1711.05101), or sgd with Nesterov momentum 0.9."""

    learning_rate: Annotated[float, Field(gt=0, le=10)] | Literal["auto"] = "auto"
    """Highest of the schedule; 'auto' follows optimizer, weights and network (see docs/transfer.md)."""

    schedule: Literal["one-cycle", "cosine", "constant", "plateau"] = "one-cycle"
    """Course of the learning rate; plateau divides it by 10 after 3 epochs without a lower validation loss."""

    warmup_fraction: float = Field(0.25, ge=0, lt=1)
    """Part of the steps in which the learning rate rises, as a fraction of 1."""

    weight_decay: Annotated[float, Field(ge=0, le=1)] | Literal["auto"] = "auto"
    """Decay of matrices and filters, in adamw decoupled from the gradient; 'auto': 0.02, with sgd 0.0001."""

    clip_norm: float = Field(0.0, ge=0)
    """Largest norm of all gradients together, to which longer ones are scaled; 0 for none."""

    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Arithmetic of training steps; 'auto' is bf16 on a GPU that has it, fp32 elsewhere."""

    patience: int = Field(0, ge=0, le=10_000)
    """Epochs without a better validation result after which a training stops; 0 for never."""

    label_smoothing: float = Field(0.0, ge=0, lt=1)
    """Probability taken from the true class and spread over all, when trained on labels."""

    balance: Literal["auto", "none", "weights", "sampling"] = "auto"
    """Rare classes count more in the loss (weights) or come more often (sampling); 'auto' weighs beyond 3:1."""

    dropout: Annotated[float, Field(ge=0, lt=1)] | Literal["auto"] = "auto"
    """Probability that training drops a feature before the head; 'auto' is what the network's library has."""

    stochastic_depth: Annotated[float, Field(ge=0, lt=1)] | Literal["auto"] = "auto"
    """Probability that training skips the last residual block, earlier ones less; 'auto' as for dropout."""

    resize_from: float = Field(1.0, ge=0.25, le=1)
    """Input side at the first step, as a fraction of the full one, to which it grows (progressive resizing)."""

    average_decay: float = Field(0.0, ge=0, lt=1)
    """Decay of a moving average of the weights, which is then what is kept; 0 for none."""

    @property
    def batch(self) -> int:
        """`batch_size`, with what 'auto' means where the training does not start from a fitted head."""
        return 32 if self.batch_size == "auto" else self.batch_size

    def epochs_from_head(self, *, taught: bool) -> int:
        """`tuning_epochs`, with what 'auto' means; a teacher has more to say in more epochs, labels do not."""
        return (16 if taught else 8) if self.tuning_epochs == "auto" else self.tuning_epochs


class TeacherConfig(ModelConfig):
    """The large network, and how it is fine-tuned."""

    model: str = "resnet50"
    """An alias such as resnet50, a timm name, torchvision:NAME, run folders (with commas), or auto, which chooses."""

    epochs: int = Field(10, ge=1, le=10_000)
    """Passes over the training images where the whole network is trained with a new head (strategy full)."""


class StudentConfig(ModelConfig):
    """The small network, and how it is trained."""

    model: str = "mobilenetv2"
    """An alias such as mobilenetv2, any timm name, or torchvision:NAME."""

    image_size: Annotated[int, Field(ge=8, le=1024)] | Literal["auto"] = "auto"
    """Its input height and width in pixels; 'auto' is its teacher's, but no more than the weights were made for."""

    epochs: int = Field(30, ge=1, le=10_000)
    """Passes over the training images where the whole network is trained with a new head (strategy full)."""


class DistillConfig(Section):
    """How the student learns from the teacher, on the pixels that the teacher saw (arXiv 2106.05237)."""

    loss: Annotated[Losses, Field(min_length=1)] | Literal["auto"] = "auto"
    """Weights of kd, dkd, dist (answers), feature, crd (features), hard (labels); 'auto': kd=0.9, hard=0.1."""

    temperature: Annotated[float, Field(gt=0, le=100)] | Literal["auto"] = "auto"
    """Divides the logits of both before the softmax, in kd, dkd and dist; 'auto': 4."""

    mixup: Annotated[float, Field(ge=0, le=0.5)] | Literal["auto"] = "auto"
    """Largest share of another image in a view, as a fraction of 1; 'auto': 0. From a fitted head, every second."""

    teacher_views: Annotated[int, Field(ge=1, le=10_000)] | Literal["auto"] = "auto"
    """Views of each image that the teacher answers, and epochs cycle through; 'auto' asks for more of few images."""

    vary_repeats: bool = True
    """Whether the student sees a view that comes again shifted by up to a sixteenth, and with `flip` mirrored."""

    teacher_precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Arithmetic of the teacher's answers; 'auto' is bf16 where the processor has instructions for it."""

    top_k: Annotated[int, Field(ge=1)] | Literal["auto"] = "auto"
    """Answers that are kept of each view, the rest being spread evenly; 'auto' keeps all up to 64 classes, else 16."""

    cache: str = Field("auto", json_schema_extra=PLACE)
    """Folder of the teacher's answers; 'auto' is beside the teacher's weights, for all its students."""

    keep_pixels: Literal["auto", "always", "never"] = Field("auto", json_schema_extra=PLACE)
    """Whether views are stored while the student trains; 'auto' does where it saves time and fits on the disk."""

    unlabelled: str = ""
    """A folder of further images, labels not needed, on which the student learns from the teacher alone."""

    class_map: dict[str, str] = Field(default={})
    """The teacher's name of a class where it differs from the data's: {oak: Quercus}."""

    assistants: tuple[str, ...] = ()
    """Models between teacher and student, large to small: each learns from the one before (arXiv 1902.03393)."""


class PruneConfig(Section):
    """Whether the student gives up channels to be faster, and how fast it shall be; see docs/distillation.md."""

    latency: Annotated[float, BeforeValidator(as_fraction)] = Field(1.0, gt=0, le=1)
    """Median latency to reach, measured, as a fraction of the unpruned student's; 1 does not prune."""

    multiple: Literal[8, 16] = 8
    """Channels are kept in multiples of this, which is how processors take them in."""

    at: float = Field(0.5, gt=0, lt=1)
    """Part of the student's epochs that come before it, as a fraction of 1; the others train what is left."""


class ControlConfig(Section):
    """Whether the teacher helped: the student trained without it, under the same budget."""

    seeds: int = Field(0, ge=0, le=100)
    """Trainings with and without the teacher that are compared; 0 for none, 3 with --control."""
