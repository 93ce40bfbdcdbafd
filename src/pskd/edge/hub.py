"""Students on the Hugging Face Hub: pushed in one commit, pulled from anybody and checked.

A repository holds the files of a student folder and, where asked for, those of its exports below
`export/`. Nothing else in it is fetched, and nothing of it is run.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pskd import __version__
from pskd.edge.export import EXPORT, MAX_BYTES, Export, read_export, read_listing
from pskd.edge.settings import MAX_STREAM_BYTES, STREAM, read_settings
from pskd.errors import CheckpointError, DataError, PskdError, UsageError, printable
from pskd.files import read_plain
from pskd.models.student_card import model_card
from pskd.models.student_config import MAX_CONFIG_BYTES, StudentConfig
from pskd.models.student_folder import CARD, CONFIG, MAX_WEIGHTS_BYTES, WEIGHTS, load_student

EXPORTS = "export"
"""Folder of the exports, in a run as in a repository."""

SOURCE = "source.json"
"""Beside a pulled student: where it came from."""

LIMITS = {CONFIG: MAX_CONFIG_BYTES, WEIGHTS: MAX_WEIGHTS_BYTES, CARD: MAX_CONFIG_BYTES}
OPTIONAL = {STREAM: MAX_STREAM_BYTES}
"""Of a student that was calibrated."""
MAX_EXPORT_FILES = 200
MAX_TOTAL = 1 << 30
"""Bytes of all files of a pull; the exports of a student take a few MB."""
_REPO = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", re.ASCII)
_LOG_IN = "Log in with `hf auth login`, or set HF_TOKEN to a token that may do this"


@dataclass(frozen=True)
class Pushed:
    """What came of a push.

    Attributes:
        url: Of the commit.
        commit: Its SHA.
        files: Paths in the repository.
    """

    url: str
    commit: str
    files: tuple[str, ...]


@dataclass(frozen=True)
class Pulled:
    """What came of a pull.

    Attributes:
        folder: Student folder that was made.
        commit: SHA that it is of.
        config: What the student expects and predicts.
        files: Paths below `folder`.
    """

    folder: Path
    commit: str
    config: StudentConfig
    files: tuple[str, ...]


def push(folder: Path, repo: str, *, private: bool = False, exports: bool = False) -> Pushed:
    """Upload a student in one commit, after it was loaded and checked; its card is made anew.

    Exports and stream settings in the repository that are not uploaded with it go: they may be of
    another student.

    Args:
        folder: Of a run, of a student or of its exports.
        repo: OWNER/NAME; made if it is not there.
        private: Make the repository private; one that is there has to be.
        exports: Upload the exports too.

    Raises:
        UsageError: The extra `hub` is not installed, `repo` is no name, or public where it should
            be private, or there are no exports.
        CheckpointError: The student or its exports are torn, foreign or newer.
        PskdError: The Hub cannot be reached, or does not permit it.
    """
    hub = _client(repo)
    student, listed = _places(folder)
    _, config = load_student(student)
    files = {
        WEIGHTS: _read_checked(student / WEIGHTS, config.sha256),
        CONFIG: (config.model_dump_json(indent=2) + "\n").encode(),
        CARD: model_card(config, repo).encode(),
    }
    if (student / STREAM).exists():
        files[STREAM] = read_settings(student).model_dump_json(indent=2).encode() + b"\n"
    if exports:
        files |= _export_files(listed, config)
    operations = [
        hub.CommitOperationAdd(path_in_repo=name, path_or_fileobj=content)
        for name, content in files.items()
    ]
    with _told(hub, repo):
        api = hub.HfApi()
        api.create_repo(repo, private=private or None, exist_ok=True)
        info = api.model_info(repo)
        if private and not info.private:
            raise UsageError(
                "is there already, and public",
                where=repo,
                remedy="Make it private in its settings, push to another, or leave out --private",
            )
        there = {sibling.rfilename for sibling in info.siblings or ()}
        operations += [
            hub.CommitOperationDelete(path_in_repo=name, is_folder=False)
            for name in sorted(there - files.keys())
            if name == STREAM or name.startswith(f"{EXPORTS}/")
        ]
        commit = api.create_commit(
            repo, operations, commit_message=f"Student {config.model} by pskd {__version__}"
        )
    return Pushed(str(commit.commit_url), str(commit.oid), tuple(files))


def pull(
    repo: str, *, revision: str | None = None, out: Path | None = None, exports: bool = False
) -> Pulled:
    """Download a student into a folder of its own, which is there whole or not at all.

    Only the files of a student folder are fetched, none before its size is known, and the folder is
    made once the student was loaded from it.

    Args:
        repo: OWNER/NAME.
        revision: Branch, tag or commit; the newest if not said.
        out: The folder, NAME if not said.
        exports: Download the exports too.

    Raises:
        UsageError: The extra `hub` is not installed, `repo` is no name, or `out` is there already.
        DataError: The repository holds something else.
        CheckpointError: The student or its exports are torn, foreign, too large or newer.
        PskdError: The Hub cannot be reached, or does not permit it, or the folder cannot be made.
    """
    hub = _client(repo)
    out = out or Path(repo.rpartition("/")[2])
    with _beside(out) as temporary, _told(hub, repo, revision):
        downloads, new = Path(temporary) / "downloads", Path(temporary) / "student"
        repository = _Repository(hub, repo, revision, downloads)
        try:
            repository.fetch(LIMITS, new)
            repository.fetch(OPTIONAL, new, optional=True)
            _, config = load_student(new)
            read_settings(new)
            if exports:
                _fetch_exports(repository, new, config)
        except CheckpointError as error:  # names the place, and not a folder soon gone
            raise _elsewhere(error, new, repo) from error
        source = {"repo": repo, "commit": repository.commit, "revision": revision}
        (new / SOURCE).write_text(json.dumps(source, indent=2) + "\n", encoding="utf-8")
        files = sorted(p.relative_to(new).as_posix() for p in new.rglob("*") if p.is_file())
        new.rename(out)
    return Pulled(out, repository.commit, config, tuple(files))


def _beside(out: Path) -> TemporaryDirectory[str]:
    """A folder on the same disk, in which `out` is put together."""
    try:
        if out.exists() or out.is_symlink():
            raise UsageError(
                "is there already", where=out, remedy="Choose another --out, or delete it"
            )
        out.parent.mkdir(parents=True, exist_ok=True)
        return TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-")
    except OSError as error:
        raise PskdError(
            f"cannot be made ({error.strerror})",
            where=out,
            remedy="Choose another --out, in a folder that you may write to",
        ) from error


class _Repository:
    """A commit of a repository, from which named files are fetched within limits."""

    def __init__(self, hub: Any, repo: str, revision: str | None, downloads: Path) -> None:
        self.hub, self.repo, self.downloads = hub, repo, downloads
        self.api = hub.HfApi()
        info = self.api.model_info(repo, revision=revision)
        if info.library_name not in (None, "pskd"):
            raise DataError(
                f"is for {printable(str(info.library_name))[:100]}, not for pskd",
                where=repo,
                remedy="Name a repository that `pskd push` made",
            )
        self.commit = str(info.sha)

    def fetch(self, limits: Mapping[str, int], folder: Path, *, optional: bool = False) -> None:
        """Download files into a folder, none larger than its limit."""
        names = list(limits)
        found = {
            entry.path: entry
            for entry in self.api.get_paths_info(self.repo, names, revision=self.commit)
            if isinstance(entry, self.hub.hf_api.RepoFile)
        }
        if optional:
            limits = {name: most for name, most in limits.items() if name in found}
        for name, most in limits.items():
            if name not in found:
                raise CheckpointError(
                    "is missing",
                    where=folder / name,
                    remedy="Name a repository that `pskd push` made, or another --revision",
                )
            if found[name].size > most:
                raise CheckpointError(
                    f"has {found[name].size} bytes, more than the {most} that it may have",
                    where=folder / name,
                    remedy="Do not use it: no student for a watch is so large",
                )
        total = sum(found[name].size for name in limits)
        if total > MAX_TOTAL:
            raise CheckpointError(
                f"{len(limits)} files have {total} bytes, more than {MAX_TOTAL}",
                where=self.repo,
                remedy="Do not use it: no student for a watch is so large",
            )
        for name, most in limits.items():
            got = self.api.hf_hub_download(
                self.repo, name, revision=self.commit, local_dir=self.downloads
            )
            content = read_plain(Path(got), most)
            place = folder / name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content)


def _fetch_exports(repository: _Repository, new: Path, config: StudentConfig) -> None:
    repository.fetch({f"{EXPORTS}/{EXPORT}": MAX_BYTES}, new)
    parts = _parts(read_listing(new / EXPORTS / EXPORT), new / EXPORTS / EXPORT, config)
    repository.fetch({f"{EXPORTS}/{part}": MAX_WEIGHTS_BYTES for part in parts}, new)
    read_export(new / EXPORTS)  # compares the checksums


def _export_files(folder: Path, config: StudentConfig) -> dict[str, bytes]:
    """The files of an export folder, by their paths in the repository."""
    if not (folder / EXPORT).is_file():
        raise UsageError("no exports here", where=folder, remedy="`pskd export` makes them")
    listing = read_plain(folder / EXPORT, MAX_BYTES)
    parts = _parts(read_listing(folder / EXPORT), folder / EXPORT, config)
    files = {part: _read_checked(folder / part, sha256) for part, sha256 in parts.items()}
    return {f"{EXPORTS}/{name}": content for name, content in ({EXPORT: listing} | files).items()}


def _parts(export: Export, where: Path, config: StudentConfig) -> dict[str, str]:
    """Checksums of the files of an export by their paths; not of another student, nor too many."""
    if export.student_sha256 != config.sha256:
        raise CheckpointError(
            "holds the exports of another student", where=where, remedy="Export the student again"
        )
    parts = {
        part: sha for exported in export.files.values() for part, sha in exported.sha256.items()
    }
    if len(parts) > MAX_EXPORT_FILES:
        raise CheckpointError(
            f"names more than {MAX_EXPORT_FILES} files", where=where, remedy="Do not use it"
        )
    return parts


def _places(folder: Path) -> tuple[Path, Path]:
    """The student folder and the export folder that a folder is or holds."""
    if (folder / EXPORT).is_file():
        inside = folder / "student"
        return (inside if inside.is_dir() else folder.parent / "student"), folder
    student = folder / "student"
    return (student if student.is_dir() else folder), folder / EXPORTS


def _read_checked(path: Path, sha256: str) -> bytes:
    try:
        content = read_plain(path, MAX_WEIGHTS_BYTES)
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"cannot be read ({error})", where=path, remedy="Export or train the student again"
        ) from error
    if hashlib.sha256(content).hexdigest() != sha256:
        raise CheckpointError(
            "checksum is not the one beside it",
            where=path,
            remedy="Copy the whole folder again, or export the student again",
        )
    return content


def _elsewhere(error: CheckpointError, new: Path, repo: str) -> CheckpointError:
    where = str(error.where).replace(str(new), repo)
    return CheckpointError(error.what, where=where, remedy=error.remedy)


def _client(repo: str) -> Any:
    """The Hub's own client, once the name of the repository can be one."""
    if not _REPO.fullmatch(repo):
        raise UsageError(f"{repo!r} is no repository", remedy="Give OWNER/NAME, as in its address")
    try:
        import huggingface_hub.errors  # the client loads neither of itself
        import huggingface_hub.hf_api
    except ImportError as error:
        raise UsageError(
            "the Hugging Face Hub needs huggingface_hub, which is not installed",
            remedy="pip install -c constraints.txt 'pskd[hub]'",
        ) from error
    return huggingface_hub


@contextmanager
def _told(hub: Any, repo: str, revision: str | None = None) -> Iterator[None]:
    """Say in plain words what the Hub, the network or the disk refuses."""
    errors = hub.errors
    try:
        yield
    except errors.GatedRepoError as error:
        remedy = "Accept them on its page, then log in with `hf auth login`"
        raise UsageError("asks to accept its terms first", where=repo, remedy=remedy) from error
    except errors.RepositoryNotFoundError as error:
        remedy = f"Check the name. Where it is private: {_LOG_IN}"
        raise UsageError("no such repository, or private", where=repo, remedy=remedy) from error
    except errors.RevisionNotFoundError as error:
        remedy = "Give a branch, a tag or a whole commit SHA that its page lists"
        raise UsageError(f"has no revision {revision!r}", where=repo, remedy=remedy) from error
    except errors.HfHubHTTPError as error:
        status = error.response.status_code
        if status in (401, 403):
            raise UsageError("is not permitted to you", where=repo, remedy=_LOG_IN) from error
        said = printable(str(error.server_message or error).strip())[:300]
        raise PskdError(
            f"the Hub answers {status} ({said})", where=repo, remedy="Try again later"
        ) from error
    except errors.HFValidationError as error:
        remedy = "Give OWNER/NAME, as in its address"
        raise UsageError(f"no repository can be called {repo!r}", remedy=remedy) from error
    except (errors.HTTPError, OSError, RuntimeError, ValueError) as error:
        said = printable(str(error.__cause__ or error).strip())[:300]
        raise PskdError(
            f"cannot be exchanged with the Hub ({said})",
            where=repo,
            remedy="Check the network and the space on the disk, then try again",
        ) from error
