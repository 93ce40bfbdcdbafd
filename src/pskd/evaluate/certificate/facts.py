"""certificate.json: what was measured of a student's exports, where, and against which limits.

The page is made of this file and nothing else.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from pskd.files import read_json

FORMAT = 1
"""Version of certificate.json that this package writes."""

MAX_BYTES = 16_000_000

Share = Annotated[float, Field(ge=0, le=1)]
Status = Literal["passed", "failed", "accepted", "not measured"]


class Facts(BaseModel):
    """Plain values that do not change; no number that is not finite."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Disagreement(Facts):
    """A window of which an export and PyTorch say different things, as class indices.

    `margin` is PyTorch's logit of its own class above that of the export's.
    """

    window: str
    torch: int
    export: int
    margin: float


class Parity(Facts):
    """How an export compares with PyTorch on the same windows.

    Differences are None where an answer is not finite.

    Attributes:
        golden: Golden windows.
        test: Windows of the test side.
        difference: Largest absolute difference of a logit, of all windows that a watch can measure.
        where: The window that it is found in.
        test_difference: The same of the test side alone, whatever a watch can measure.
        relative: Of the other windows, the same as a share of the window's largest logit, or of 1.
        relative_where: The window that it is found in.
        agreement: Share of the test side with the same class.
        disagreements: All windows with another class, golden ones too.
        accuracy: Of the export, on the test side.
        torch_accuracy: Of PyTorch, on the same windows.
        sum_error: Largest distance of a sum of probabilities from 1.
        softmax_error: Largest difference of a probability from the softmax of the export's logits.
        failures: Limits that it broke, in words; none where it passed.
    """

    golden: int
    test: int
    difference: float | None
    where: str
    test_difference: float | None
    relative: float | None
    relative_where: str
    agreement: Share
    disagreements: tuple[Disagreement, ...]
    accuracy: Share
    torch_accuracy: Share
    sum_error: float | None
    softmax_error: float | None
    failures: tuple[str, ...]

    @property
    def drop(self) -> float:
        """Accuracy lost against PyTorch, as a share."""
        return self.torch_accuracy - self.accuracy

    @property
    def passed(self) -> bool:
        """Whether it keeps all limits."""
        return not self.failures

    @property
    def sentence(self) -> str:
        """What became of it, without a full stop."""
        if self.failures:
            return "; ".join(self.failures)
        most, tested = (
            "not finite" if value is None else f"{value:.2g}"
            for value in (self.difference, self.test_difference)
        )
        return (
            f"logits differ by {most} at most and by {tested} on the test side, where "
            f"{100 * self.agreement:.1f} % get the same class; accuracy "
            f"{100 * self.accuracy:.1f} %, PyTorch's {100 * self.torch_accuracy:.1f} %"
        )


class Limits(Facts):
    """What an export may differ by.

    Attributes:
        difference: Of a logit, without int8.
        measurable: Acceleration in g up to which `difference` holds.
        relative: Of a logit as a share of the window's largest, or of 1, beyond that.
        drop: Accuracy that an export may lose, as a share.
        agreement: Least share of the test side with the same class.
        sum_error: Of the sum of probabilities from 1.
        softmax_error: Of a probability from the softmax of the logits, without int8.
    """

    difference: float
    measurable: float
    relative: float
    drop: float
    agreement: float
    sum_error: float
    softmax_error: float


class Latency(Facts):
    """Time of one call on one thread, warm, in microseconds."""

    calls: int
    p50_us: float
    p99_us: float


class MemoryFacts(Facts):
    """Peaks in bytes, beyond what was there before.

    Attributes:
        export: Of one more copy of the export, opened and run once, where one runs already.
        first: Of the first copy, with what its runtime sets up.
        process: Of the whole process that it ran in.
    """

    export: int
    first: int
    process: int


class TargetFacts(Facts):
    """One export.

    Attributes:
        file: What its runtime opens, below the export folder; of PyTorch, the student folder.
        sha256: Of every file of it.
        bytes: That it takes in a product: C compiled, all else as its files are.
        int8: Whether its numbers are rounded to 8 bits.
        status: `accepted` broke a limit and was kept because somebody asked for that.
        reason: Why it failed before a comparison, or could not be measured.
        parity: How it compares with PyTorch.
        latency: Time of a call.
        memory: What it needs.
        missing: What could not be measured, and why.
    """

    file: str
    sha256: dict[str, str]
    bytes: int
    int8: bool
    status: Status
    reason: str = ""
    parity: Parity | None = None
    latency: Latency | None = None
    memory: MemoryFacts | None = None
    missing: dict[str, str] = {}


class GoldenFacts(Facts):
    """A golden window: whether it was recorded, and whether a watch can measure it.

    `differences` has the largest of a logit by target, None where it is not finite.
    """

    name: str
    recorded: bool
    measurable: bool
    differences: dict[str, float | None]


class StudentFacts(Facts):
    """The student whose exports these are."""

    model: str
    sha256: str
    parameters: int
    macs: int
    classes: tuple[str, ...]
    samples: int
    window_seconds: float
    placement: str


class DataFacts(Facts):
    """What it was tested on."""

    dataset: str
    protocol: str
    note: str
    test: int
    calibration: int


class MachineFacts(Facts):
    """Where it was measured; `load` is how many processes ran on average in the minute before."""

    cpu: str
    cores: int
    platform: str
    load: float | None

    @property
    def words(self) -> str:
        """The processor, its cores, and how busy they were."""
        load = "" if self.load is None else f", load {self.load:.2f}"
        return f"{self.cpu}, {self.cores} cores{load}"

    @property
    def busy(self) -> bool:
        """Whether other work may have had the core that was measured on."""
        return self.load is not None and self.load + 1 > self.cores


class Certificate(Facts):
    """What `certificate.json` says. `targets` holds PyTorch, as `torch`, beside the exports."""

    format: Literal[1] = 1
    date: str
    student: StudentFacts
    data: DataFacts
    machine: MachineFacts
    versions: dict[str, str]
    limits: Limits
    targets: dict[str, TargetFacts]
    golden: tuple[GoldenFacts, ...]

    @property
    def exports(self) -> dict[str, TargetFacts]:
        """All targets but PyTorch, which they are compared with."""
        return {name: facts for name, facts in self.targets.items() if name != "torch"}

    def of(self, status: Status) -> list[str]:
        """Exports of a status."""
        return [name for name, facts in self.exports.items() if facts.status == status]

    @property
    def failed(self) -> list[str]:
        """Targets that break a limit that nobody waived."""
        return [name for name, facts in self.targets.items() if facts.status == "failed"]


def load_certificate(path: Path) -> Certificate:
    """Read a certificate.

    Raises:
        CheckpointError: It is missing, torn, foreign or of a newer version.
    """
    again = "Run `pskd certify` again"
    return read_json(
        path,
        Certificate,
        name="certificate",
        version=FORMAT,
        most=MAX_BYTES,
        find=again,
        mend=again,
    )
