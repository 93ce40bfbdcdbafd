"""What a check of a folder found, and how it is said."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import zip_longest
from typing import Literal

from pskd.datasets.folder.settings import SETTINGS
from pskd.datasets.folder.verdict import Alignment


@dataclass(frozen=True)
class Problem:
    """Something wrong in a folder.

    Attributes:
        level: `error`: a recording, or all of them, cannot be used. `warning`: it can, but look.
        where: The file, and the line where it is known.
        what: What is wrong.
        remedy: What to do about it.
    """

    level: Literal["error", "warning"]
    where: str
    what: str
    remedy: str


@dataclass(frozen=True)
class Report:
    """What a check found.

    Attributes:
        title: Name of the dataset.
        recordings: Lines of the manifest.
        usable: Recordings that can be used.
        pairs: Those of them that have a skeleton.
        subjects: How many people moved.
        classes: Names of the classes.
        seconds: Time of all recordings together.
        rate: Rate that all are brought to, Hz.
        problems: What is wrong, in the order of the manifest.
        alignment: How the pairs go together; None where fewer than two can be judged.
    """

    title: str
    recordings: int
    usable: int
    pairs: int
    subjects: int
    classes: tuple[str, ...]
    seconds: float
    rate: float
    problems: tuple[Problem, ...]
    alignment: Alignment | None

    @property
    def errors(self) -> int:
        """How many problems keep recordings from being used."""
        return sum(problem.level == "error" for problem in self.problems)

    @property
    def pair_to_draw(self) -> str | None:
        """The pair that is most worth a look: the most doubtful, else one in the middle.

        None where there is no pair, or where the dataset cannot be opened for its settings.
        """
        if self.alignment is None or any(p.where.startswith(SETTINGS) for p in self.problems):
            return None
        scores = sorted(self.alignment.scores, key=lambda score: score.beaten)
        doubtful = scores[0].doubtful and self.alignment.kind == "aligned"
        return scores[0 if doubtful else len(scores) // 2].recording

    def text(self) -> str:
        """The report in plain words."""
        lines = [
            f"{self.title}: {self.usable} of {self.recordings} recordings can be used, "
            f"{self.pairs} of them with a skeleton. {self.subjects} people, {len(self.classes)} "
            f"classes, {self.seconds / 60:.1f} minutes at {self.rate:g} Hz."
        ]
        for level in ("error", "warning"):
            found = [problem for problem in self.problems if problem.level == level]
            if found:
                lines += ["", f"{len(found)} {level}{'s' * (len(found) > 1)}"]
            for problem, after in zip_longest(found, found[1:]):
                lines.append(f"  {problem.where}: {problem.what}.")
                if after is None or after.remedy != problem.remedy:
                    lines.append(f"    {problem.remedy}.")
        if not self.problems:
            lines += ["", "Nothing looks wrong."]
        if self.alignment is not None:
            lines += ["", *_alignment(self.alignment)]
        return "\n".join(lines)


def _alignment(found: Alignment) -> list[str]:
    aligned = round(found.share * len(found.scores))
    return [
        f"Alignment: {aligned} of {len(found.scores)} pairs are more alike than 95 % of pairs made "
        f"of different recordings; by chance {found.chance * len(found.scores):.0f} would be.",
        {
            "too few": "These are too few pairs to say whether they are aligned.",
            "aligned": f"They look aligned. The sensor moves most like {found.joint}.",
            "late": f"The skeletons look {abs(found.lag):.2f} s "
            f"{'late' if found.lag > 0 else 'early'}.",
            "backwards": "The skeletons look as if they ran backwards.",
            "mixed up": "Skeletons look mixed up within their classes.",
            "apart": "They do not look aligned.",
        }[found.kind],
    ]
