"""A trained student as a folder: its weights, what it expects and predicts, and a model card.

The folder holds `model.safetensors`, `config.json` (`StudentConfig`) and `README.md`. It may come
from a stranger: nothing in it is executed or unpickled, and it is refused before it takes more
memory or time than a student for a watch can need.
"""

from __future__ import annotations

import hashlib
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save_file
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from pskd import __version__
from pskd.data.archive import file_digest
from pskd.errors import CheckpointError, PskdError, UsageError, printable
from pskd.files import read_plain
from pskd.models import MODELS, build, count_macs, example_inputs
from pskd.models.base import Model
from pskd.models.student_card import model_card
from pskd.models.student_config import (
    CARD,
    CONFIG,
    COPY_AGAIN,
    WEIGHTS,
    StudentConfig,
    read_config,
)

__all__ = [
    "CARD",
    "CONFIG",
    "WEIGHTS",
    "StudentConfig",
    "find_student",
    "load_student",
    "save_student",
]

MAX_WEIGHTS_BYTES = 64 << 20
"""Of `model.safetensors`; a ResNet-18 has 45 MB."""

MAX_HEADER_BYTES = 1_000_000
MAX_TENSOR_BYTES = 16 << 20
"""Of any tensor made of one window; ResNet-18 on images of 224 x 224 makes 3 MB."""

MAX_MACS = 10**10
"""Of one window: seconds on one core; ResNet-18 on images of 224 x 224 takes 1.8 * 10^9."""

SMALL_WINDOW, SMALL_WIDTH = 256, 1024
"""Samples, and the largest dimension of a weight, that no model of the package breaks them with."""


def save_student(folder: Path, model: Model, config: StudentConfig) -> None:
    """Write a trained student to a folder, over an earlier student if there is one.

    The files are written beside the folder and moved into it, `config.json` last: where that was
    cut short, the checksum does not match and `load_student` refuses the folder.

    Raises:
        CheckpointError: `config` does not describe `model`, or the folder cannot be written.
    """
    tensors = {name: t.detach().cpu().contiguous() for name, t in model.state_dict().items()}
    _check_tensors(tensors, config, where=folder)
    if sum(t.nbytes for t in tensors.values()) > MAX_WEIGHTS_BYTES - MAX_HEADER_BYTES:
        raise CheckpointError(
            f"weights take more than {MAX_WEIGHTS_BYTES >> 20} MiB",
            where=folder,
            remedy="Train a smaller student",
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as temporary:
            new = Path(temporary)
            save_file(tensors, new / WEIGHTS)
            config = config.model_copy(update={"sha256": file_digest(new / WEIGHTS)})
            text = config.model_dump_json(indent=2) + "\n"
            (new / CONFIG).write_text(text, encoding="utf-8")
            (new / CARD).write_text(model_card(config), encoding="utf-8")
            for name in (WEIGHTS, CARD, CONFIG):
                (new / name).replace(folder / name)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(
            f"student cannot be written ({error})",
            where=folder,
            remedy="Free space on the disk or choose another folder",
        ) from error


def find_student(folder: Path) -> Path:
    """The student folder of a run folder, or a folder that is one itself.

    Raises:
        UsageError: There is none.
    """
    student = folder if (folder / CONFIG).is_file() else folder / "student"
    if not student.is_dir():
        raise UsageError(
            "no trained student here",
            where=folder,
            remedy="Name a finished run: `pskd train` again finishes one that was stopped",
        )
    return student


def load_student(folder: Path | str) -> tuple[Model, StudentConfig]:
    """Read a student that `save_student` wrote, ready to predict (in evaluation mode, on the CPU).

    Raises:
        CheckpointError: A file is missing, torn, foreign or of a newer version, or the student is
            far too large for a watch.
    """
    folder = Path(folder)
    config = read_config(folder / CONFIG)
    weights = folder / WEIGHTS
    tensors = _read_weights(weights, config.sha256)
    _check_tensors(tensors, config, where=weights)
    with torch.random.fork_rng(devices=[]):  # the caller's random numbers stay as they were
        model = build(config.model, config.signal, **config.options)
    model.load_state_dict(tensors)
    model.eval()
    _check_cost(model, config, where=folder / CONFIG)
    return model, config


def _read_weights(path: Path, sha256: str) -> dict[str, Tensor]:
    try:
        raw = read_plain(path, MAX_WEIGHTS_BYTES)
        if hashlib.sha256(raw).hexdigest() != sha256:
            raise CheckpointError(
                f"checksum is not the one in {CONFIG}", where=path, remedy=COPY_AGAIN
            )
        if int.from_bytes(raw[:8], "little") > MAX_HEADER_BYTES:
            raise ValueError(f"its header is larger than {MAX_HEADER_BYTES} bytes")
        tensors = load(raw)
        if not all(bool(tensor.isfinite().all()) for tensor in tensors.values()):
            raise ValueError("they are not all finite")
    except (OSError, SafetensorError, LookupError, ValueError, RuntimeError, AssertionError) as no:
        raise CheckpointError(
            f"weights cannot be read ({printable(str(no))[:200]})", where=path, remedy=COPY_AGAIN
        ) from no
    return tensors


def _check_tensors(tensors: dict[str, Tensor], config: StudentConfig, where: Path) -> None:
    """Compare tensors with those of the model in `config`, which is built without memory."""
    kind = MODELS.get(config.model)
    if kind and kind.inputs != ("acceleration",):
        raise CheckpointError(
            f"model {config.model!r} takes {' and '.join(kind.inputs)}, so it is no student",
            where=where,
            remedy="Name the folder of a student",
        )
    try:
        with torch.device("meta"), warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # torch's, of layers without any numbers
            expected = build(config.model, config.signal, **config.options).state_dict()
    except PskdError as error:
        raise CheckpointError(
            f"this version of pskd cannot build the student ({printable(str(error))})",
            where=where,
            remedy=None
            if config.pskd_version == __version__
            else f"Use pskd {config.pskd_version}, which wrote it",
        ) from error
    wrong = [
        f"{printable(name)[:200]} (has {_describe(tensors.get(name))}, "
        f"needs {_describe(expected.get(name))})"
        for name in sorted(tensors.keys() | expected.keys())
        if _describe(tensors.get(name)) != _describe(expected.get(name))
    ]
    if wrong:
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise CheckpointError(
            f"weights are not those of model {config.model!r}: {', '.join(wrong[:3])}{more}",
            where=where,
            remedy=COPY_AGAIN,
        )


def _describe(tensor: Tensor | None) -> str:
    if tensor is None:
        return "nothing"
    return f"{str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}"


class _Largest(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes the bytes of the largest tensor that is made."""

    bytes = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        made = func(*args, **(kwargs or {}))
        sizes = (leaf.nbytes for leaf in tree_leaves(made) if isinstance(leaf, Tensor))
        self.bytes = max(self.bytes, *sizes, 0)
        return made


def _check_cost(model: Model, config: StudentConfig, where: Path) -> None:
    """Make sure that the student takes its window, and no more memory and time than may be.

    A few bytes of `config.json` can ask for images of 65,536 x 65,536.
    """
    if not type(model).__module__.startswith("pskd."):
        return  # the user's own code, which may be what cannot be run without values
    widest = max(max(p.shape, default=1) for p in model.parameters())
    largest = _Largest()  # type: ignore[no-untyped-call]
    try:
        if config.samples <= SMALL_WINDOW and widest <= SMALL_WIDTH:
            with torch.inference_mode():
                model(*example_inputs(model, config.signal))
            return
        from torch._subclasses.fake_tensor import FakeTensorMode  # takes a second to start

        with FakeTensorMode(allow_non_fake_inputs=True), largest:  # without memory
            macs = count_macs(model, config.signal)
    except (TypeError, ValueError, RuntimeError, LookupError, ArithmeticError, PskdError) as error:
        raise CheckpointError(
            f"the student cannot take its own window ({printable(str(error))[:200]})",
            where=where,
            remedy=COPY_AGAIN,
        ) from error
    if largest.bytes > MAX_TENSOR_BYTES or macs > MAX_MACS:
        raise CheckpointError(
            f"a window takes tensors of {largest.bytes / 2**20:,.0f} MiB and {macs:,} "
            "multiply-accumulates, which is no student for a watch",
            where=where,
            remedy=f"At most {MAX_TENSOR_BYTES >> 20} MiB and {MAX_MACS:,}: do not use it, or "
            "train one on shorter windows or smaller images",
        )
