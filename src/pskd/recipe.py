"""The recipe: everything that a run depends on, typed, from YAML.

A recipe names its dataset, protocol, clips, views, the chain of stages with each one's model,
teachers and loss, and the seed. An unknown key or a wrong value raises UsageError that names the
file, the key and the nearest right one.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from pskd.errors import UsageError, nearest

FORMAT = 1
"""Version of the recipe format that this package writes."""

Fraction = Annotated[float, Field(ge=0, le=1)]
NotNegative = Annotated[float, Field(ge=0)]


class Part(BaseModel):
    """Base of all parts: unknown keys are errors, values do not change."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False
    )


class Schedule(Part):
    """A weight that moves from `start` to `end` over the training of a stage."""

    start: NotNegative
    end: NotNegative
    shape: Literal["linear", "cosine"] = "linear"


Weight = NotNegative | Schedule


def weight_at(weight: float | Schedule, progress: float) -> float:
    """Value of a weight at `progress` (0 at the start of training, 1 at its end)."""
    if not isinstance(weight, Schedule):
        return weight
    share = progress if weight.shape == "linear" else (1 - math.cos(math.pi * progress)) / 2
    return weight.start + (weight.end - weight.start) * share


class Choice(Part):
    """A registered thing by name, with its options."""

    name: str
    options: dict[str, Any] = {}


class ClipOptions(Part):
    """Fixed lengths that every recording is stretched to."""

    samples: Annotated[int, Field(ge=16, le=4096)] = 128
    frames: Annotated[int, Field(ge=8, le=1024)] = 64


class ViewOptions(Part):
    """Random changes of a clip, drawn anew each time it is seen.

    Attributes:
        time_warp: Spread of the logarithm of local speed; both modalities alike.
        crop: Largest share cut off at either end; both modalities alike.
        rotation: Standard deviation of the sensor's mounting, radians an axis.
        scale: Standard deviation of the accelerometer's gain.
        noise: Standard deviation of the accelerometer's noise, g.
        yaw: Standard deviation of the body's heading, radians.
        limbs: Standard deviation of joint offsets, torso lengths.
        mixup: Parameter of the Beta distribution that mixes two clips; 0 turns mixing off.
        mix_share: Share of clips that are mixed.
    """

    time_warp: NotNegative = 0.4
    crop: Annotated[float, Field(ge=0, lt=0.5)] = 0.1
    rotation: NotNegative = 0.15
    scale: NotNegative = 0.05
    noise: NotNegative = 0.01
    yaw: NotNegative = 0.2
    limbs: NotNegative = 0.03
    mixup: NotNegative = 0.2
    mix_share: Fraction = 1.0


class Teacher(Part):
    """An earlier stage that teaches.

    Attributes:
        stage: Its name.
        weight: Preference for it: times its confidence where ACS chooses, its share of the mean
            where teachers are averaged. May move over training; at 0 it is not asked.
    """

    stage: str
    weight: Weight = 1.0


class DistillOptions(Part):
    """The loss of a stage with teachers; every part can be turned off.

    L = label * CE + logits * T^2 KL(selected teacher) + semantic * (1 - cos) + motion * MSE

    Attributes:
        selection: `acs` picks one teacher or the label for each clip (PSKD); `average` mimics the
            weighted mean of all teachers; `label` ignores the teachers' logits.
        threshold: ACS mimics a teacher only if its confidence is above this.
        exclusive: With ACS, a clip that mimics a teacher leaves its label out: one or the other.
        temperature: T of the soft targets.
        teacher_dropping: Probability that a teacher sits out a batch (DGKD).
        label: Weight of the cross-entropy with the label.
        logits: Weight of the soft targets (lambda).
        semantic: Weight of the semantic term (mu).
        motion: Weight of the dense motion targets.
    """

    selection: Literal["acs", "average", "label"] = "acs"
    threshold: Fraction = 0.5
    exclusive: bool = False
    temperature: Annotated[float, Field(gt=0)] = 2.0
    teacher_dropping: Annotated[float, Field(ge=0, lt=1)] = 0.0
    label: Weight = 1.0
    logits: Weight = 1.0
    semantic: Weight = 0.0
    motion: Weight = 0.0


class FitOptions(Part):
    """How a stage is optimised (AdamW, one-cycle learning rate).

    Attributes:
        epochs: Passes over the training clips.
        batch_size: Clips a step, over all processes.
        learning_rate: Peak of the one-cycle schedule.
        warmup: Share of the steps in which the learning rate rises.
        weight_decay: Of AdamW.
        label_smoothing: Mass moved from the label to all classes alike.
        averaging: Decay a step of the exponential moving average of weights; 0 turns it off.
    """

    epochs: Annotated[int, Field(ge=1)] = 200
    batch_size: Annotated[int, Field(ge=2)] = 32
    learning_rate: Annotated[float, Field(gt=0)] = 3e-3
    warmup: Annotated[float, Field(gt=0, lt=1)] = 0.2
    weight_decay: NotNegative = 0.02
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    averaging: Annotated[float, Field(ge=0, lt=1)] = 0.0


class Stage(Part):
    """One link of the chain: a model, who teaches it, and how it is trained."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
    model: Choice
    teachers: tuple[Teacher, ...] = ()
    distill: DistillOptions = DistillOptions()
    fit: FitOptions = FitOptions()

    @model_validator(mode="before")
    @classmethod
    def _plain_teacher_names(cls, values: Any) -> Any:
        if isinstance(values, Mapping) and isinstance(values.get("teachers"), list | tuple):
            teachers = [{"stage": t} if isinstance(t, str) else t for t in values["teachers"]]
            return {**values, "teachers": teachers}
        return values


class ComputeOptions(Part):
    """Where a run computes.

    Attributes:
        accelerator: `cpu`, `cuda`, or `auto` for CUDA where there is one.
        devices: Processes, one a device.
        precision: `32-true`, or `bf16-mixed`.
        threads: CPU threads a process; 0 leaves torch's choice.
    """

    accelerator: Literal["auto", "cpu", "cuda"] = "cpu"
    devices: Annotated[int, Field(ge=1)] = 1
    precision: Literal["32-true", "bf16-mixed"] = "32-true"
    threads: Annotated[int, Field(ge=0)] = 1


class Recipe(Part):
    """All of a run. The last stage of the chain is the student.

    `labelled` is the share of training recordings whose label is used, drawn class by class. The
    others are pairs without a label: stages with teachers learn from them through their teachers,
    stages without see only those that are labelled, in as many steps.
    """

    format: Annotated[int, Field(ge=1, strict=True)] = FORMAT
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
    about: str = ""
    seed: Annotated[int, Field(ge=0, lt=2**31, strict=True)] = 0
    dataset: Choice
    protocol: Choice
    clips: ClipOptions = ClipOptions()
    labelled: Annotated[float, Field(gt=0, le=1)] = 1.0
    embedding: Annotated[int, Field(ge=2)] = 64
    class_vectors: str | None = None
    views: ViewOptions = ViewOptions()
    chain: Annotated[tuple[Stage, ...], Field(min_length=1)]
    compute: ComputeOptions = ComputeOptions()

    @model_validator(mode="after")
    def _chain_holds(self) -> Recipe:
        if self.format > FORMAT:
            raise ValueError(f"format {self.format} is newer than {FORMAT}: update pskd")
        earlier: list[str] = []
        for stage in self.chain:
            if stage.name in (*earlier, "student_alone"):
                raise ValueError(f"two stages are named {stage.name!r}: give each its own name")
            for teacher in stage.teachers:
                if teacher.stage not in earlier:
                    known = nearest(teacher.stage, earlier) if earlier else "It has none before it"
                    raise ValueError(
                        f"stage {stage.name!r} learns from {teacher.stage!r}, "
                        f"which is no stage before it. {known}"
                    )
            earlier.append(stage.name)
        return self

    @property
    def student(self) -> Stage:
        """The last stage."""
        return self.chain[-1]

    def to_yaml(self) -> str:
        """The resolved recipe, every default written out."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, width=100)


def shipped() -> dict[str, str]:
    """Names of the recipes that ship with the package, with what each is about."""
    files = sorted(p for p in _folder().iterdir() if p.name.endswith(".yaml"))
    return {p.name[:-5]: str(yaml.safe_load(p.read_text()).get("about", "")) for p in files}


def load_recipe(name: str | Path, overrides: Iterable[str] = ()) -> Recipe:
    """Read a recipe by its shipped name or path, with `key.path=value` overrides applied.

    In a key path a stage of the chain goes by its name: `chain.student.fit.epochs=10`.

    Raises:
        UsageError: No such recipe, YAML that does not parse, an unknown key, a wrong value.
    """
    path = Path(name)
    if path.suffix in {".yaml", ".yml"} or path.exists():
        where = str(path)
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
            raise UsageError(
                f"cannot be read as a recipe: {why}",
                where=where,
                remedy="Name a YAML file, or a recipe that `pskd recipes` lists",
            ) from None
    else:
        if str(name) not in shipped():
            raise UsageError(f"unknown recipe {str(name)!r}", remedy=nearest(str(name), shipped()))
        where, text = str(name), (_folder() / f"{name}.yaml").read_text(encoding="utf-8")
    try:
        tree = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # also a date, or lists in lists
        mark = getattr(error, "problem_mark", None)
        line = f" in line {mark.line + 1}" if mark else ""
        raise UsageError(
            f"not YAML{line}: {getattr(error, 'problem', error)}",
            where=where,
            remedy="Mend it, or start from a recipe that `pskd recipes` lists",
        ) from None
    if not isinstance(tree, dict):
        raise UsageError("a recipe is a mapping of keys to values", where=where)
    for override in overrides:
        _override(tree, override)
    return parse_recipe(tree, where)


def parse_recipe(tree: Mapping[str, Any], where: str) -> Recipe:
    """Check a tree of plain values; `where` is named in errors."""
    try:
        return Recipe.model_validate(tree)
    except ValidationError as error:
        raise _explain(error, tree, where) from None


def _folder() -> Any:
    return resources.files("pskd") / "recipes"


def _override(tree: dict[str, Any], override: str) -> None:
    path, equals, text = override.partition("=")
    if not equals or not path:
        raise UsageError(
            f"{override!r} is no override", remedy="Write key.path=value, for example seed=3"
        )
    node: Any = tree
    *parents, last = path.split(".")
    for key in parents:
        node = _step(node, key, path)
    try:
        value = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError):
        raise UsageError(f"the value of {path} is not YAML: {text[:100]!r}") from None
    if isinstance(node, list):
        _step(node, last, path)
        node[_position(node, last)] = value
    elif isinstance(node, dict):
        node[last] = value
    else:
        raise UsageError(f"{path}: {parents[-1]!r} holds no keys, it is {node!r}")


def _step(node: Any, key: str, path: str) -> Any:
    if isinstance(node, dict):
        return node.setdefault(key, {})
    if isinstance(node, list) and _position(node, key) is not None:
        return node[_position(node, key)]
    names = [str(_name(n)) for n in node] if isinstance(node, list) else []
    raise UsageError(f"{path}: nothing is called {key!r}", remedy=nearest(key, names))


def _name(item: Any) -> Any:
    return item.get("name", item.get("stage")) if isinstance(item, dict) else item


def _position(items: list[Any], key: str) -> Any:
    for i, item in enumerate(items):
        if key == str(i) or _name(item) == key:
            return i
    return None


def _explain(error: ValidationError, tree: Mapping[str, Any], where: str) -> UsageError:
    errors = error.errors()
    first = next((e for e in errors if e["type"] == "extra_forbidden"), errors[0])
    node: Any = tree
    parts: list[Any] = []
    for part in first["loc"]:
        # Where a value may be one of several types, the place also names the type that was tried.
        if _holds(node, part):
            node = node[part]
            parts.append(part)
    if first["type"] == "missing":
        parts.append(first["loc"][-1])
    node = tree
    shown = []
    for part in parts:
        node = node[part] if _holds(node, part) else None
        name = _name(node) if isinstance(part, int) else None
        shown.append(str(name if name is not None else part))
    key = ".".join(shown)
    if first["type"] == "extra_forbidden":
        return UsageError(
            f"unknown key {key!r}",
            where=where,
            remedy=nearest(str(parts[-1]), _known_keys(parts[:-1])),
        )
    if first["type"] == "missing":
        return UsageError(f"key {key!r} is missing", where=where, remedy="Add it to the recipe")
    message = first["msg"].removeprefix("Value error, ")
    got = f", not {first['input']!r}" if not isinstance(first["input"], dict | list) else ""
    expected = first.get("ctx", {}).get("expected") if first["type"] == "literal_error" else None
    remedy = None
    if expected is not None and isinstance(first["input"], str):
        remedy = nearest(first["input"], [w.strip(" '") for w in _split_words(str(expected))])
    if isinstance(first["input"], dict) and first["type"] not in ("value_error", "model_type"):
        message, remedy = "takes a value and has no keys of its own", f"Write {key}=VALUE"
    elif first["type"] == "model_type":
        message, remedy = "needs keys of its own", nearest("", _known_keys(parts))
    return UsageError(f"{key}: {message}{got}" if key else message, where=where, remedy=remedy)


def _split_words(expected: str) -> list[str]:
    return expected.replace(" or ", ", ").split(", ")


def _holds(node: Any, part: Any) -> bool:
    if isinstance(node, list | tuple):
        return isinstance(part, int) and part < len(node)
    return isinstance(node, dict) and part in node


def _known_keys(path: list[Any]) -> list[str]:
    """Keys allowed at a place of the recipe, found by walking the types."""
    parts: dict[str, type[Part]] = {
        "dataset": Choice, "protocol": Choice, "model": Choice, "clips": ClipOptions,
        "views": ViewOptions, "chain": Stage, "distill": DistillOptions, "fit": FitOptions,
        "compute": ComputeOptions, "teachers": Teacher,
    }  # fmt: skip
    names = [p for p in path if isinstance(p, str)]
    weights = {"label", "logits", "semantic", "motion", "weight"}
    if names and names[-1] in weights:
        return list(Schedule.model_fields)
    return list(parts.get(names[-1], Recipe).model_fields if names else Recipe.model_fields)
