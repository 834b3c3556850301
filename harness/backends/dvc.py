"""DVC: data and pipelines under version control, by the real ``dvc`` and ``git``.

Each method is one command of the program, with a time limit. Credentials of an S3 remote come from the environment and
are kept in ``.dvc/config.local``, which git ignores and only its owner reads; they are in no command line, no committed
file and no message.
"""

import os
import re
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import anyio

from harness.domain.secrets import mask, secrets_in
from harness.errors import BackendError, InputError

REMEDY: Final = "pip install 'rollout-harness[dvc]'"
LIMIT_S: Final = 600.0
"""Of each command, if nobody says otherwise; a pipeline's stages take their own time."""
TOLD: Final = 12
"""Last lines of what a program said, in an error."""
CREDENTIALS: Final = {
    "access_key_id": "AWS_ACCESS_KEY_ID",
    "secret_access_key": "AWS_SECRET_ACCESS_KEY",
    "session_token": "AWS_SESSION_TOKEN",
}
"""The remote's options, and the variables that they come from."""
PLACE: Final = {"region": "AWS_DEFAULT_REGION", "endpointurl": "AWS_ENDPOINT_URL"}
"""Where an S3 store is: no secrets, and local all the same, for it may differ from machine to machine."""
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")


@dataclass(frozen=True, slots=True)
class DataVersion:
    """A version of a data file."""

    file: str
    """Relative to the repository."""
    md5: str
    """Of its bytes, as DVC knows it; of a folder it ends in ``.dir``."""
    commit: str
    """Of git, in full."""
    message: str
    changed: bool
    """Whether there was anything new to commit."""


class Dvc:
    """A folder that git and DVC watch over.

    Args:
        root: the folder; git's top level, or below it.
        limit_s: the time limit of each command.
        variables: the environment; None: this process's.
    """

    def __init__(
        self, root: str | Path, *, limit_s: float = LIMIT_S, variables: Mapping[str, str] | None = None
    ) -> None:
        self.root = Path(root)
        self._limit_s = limit_s
        self._variables = dict(os.environ if variables is None else variables)

    # --- the repository -----------------------------------------------------------------------------------------------

    async def init(self) -> None:
        """Put the folder under DVC; one that is already is left as it is.

        Raises:
            InputError: there is no such folder, or git does not know it.
            BackendError: DVC is not installed, or refuses.
        """
        if not self.root.is_dir():
            raise InputError(f"{self.root}: there is no such folder")
        if (self.root / ".dvc").is_dir():
            return
        top = await self._git("rev-parse", "--show-toplevel", check=False)
        if top is None:
            raise InputError(
                f"{self.root}: DVC keeps its versions in git, and this is no git repository; git init first"
            )
        await self.dvc("init", *([] if self._is(top.strip()) else ["--subdir"]))

    async def remote_add(self, name: str, url: str, *, default: bool = True) -> None:
        """Name a remote store: a folder, or ``s3://bucket/path``; one of that name is replaced, credentials and all.

        Raises:
            InputError: the name or the URL cannot be used, or the URL holds a password.
        """
        if not _NAME.fullmatch(name):
            raise InputError(f"a remote is called {name!r}; it has letters, digits, - and _")
        if not url.strip() or url.startswith("-"):
            raise InputError(f"the remote {name} is {url!r}; it is a folder, or such as s3://bucket/path")
        if mask(url, ()) != url:
            raise InputError(f"the remote {name} is {mask(url)}: leave credentials out of it, they come from variables")
        self._forget_local(name)  # options of S3 beside another kind of store, and DVC reads its config no more
        await self.dvc("remote", "add", "--force", *(["--default"] if default else []), name, url)
        if url.startswith("s3://"):
            self._keep_local(name)

    def _keep_local(self, name: str) -> None:
        """Write what the environment says of S3 to ``.dvc/config.local``, as ``dvc remote modify --local`` does.

        Not by that command: its words would stand in the list of processes for all to read.
        """
        given = {key: self._variables.get(variable, "") for key, variable in (CREDENTIALS | PLACE).items()}
        given = {key: value for key, value in given.items() if value}
        if not given:
            return
        lines = [f"""['remote "{name}"']""", *(f"    {key} = {_quoted(key, value)}" for key, value in given.items())]
        path = self.root / ".dvc" / "config.local"
        kept = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        path.touch(mode=0o600)
        path.chmod(0o600)
        path.write_text("\n".join([*kept, *lines]) + "\n", encoding="utf-8")

    def _forget_local(self, name: str) -> None:
        path = self.root / ".dvc" / "config.local"
        if path.exists():
            kept = _without_remote(path.read_text(encoding="utf-8"), name)
            path.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")

    # --- data ---------------------------------------------------------------------------------------------------------

    async def add(self, file: str | Path) -> str:
        """Let DVC keep a file or folder; its md5.

        Raises:
            InputError: it is not there, or not in the repository.
        """
        name = self._relative(file)
        if not (self.root / name).exists():
            raise InputError(f"{self.root / name}: there is no such file")
        await self.dvc("add", name)
        return self.md5(name)

    def md5(self, file: str | Path) -> str:
        """What DVC knows a file by.

        Raises:
            InputError: DVC does not keep it.
        """
        from ruamel.yaml import YAML

        pointer = self.root / f"{self._relative(file)}.dvc"
        if not pointer.exists():
            raise InputError(f"{pointer}: there is no such file; DVC does not keep {file}")
        said = YAML(typ="safe").load(pointer.read_text(encoding="utf-8"))
        return str(said["outs"][0]["md5"])

    async def version(self, file: str | Path, message: str) -> DataVersion:
        """Keep a file as it is now, and commit what names it; nothing else that is staged is committed.

        Raises:
            InputError: the file is not there.
            BackendError: git or DVC refuses.
        """
        md5 = await self.add(file)
        name = self._relative(file)
        ignore = str(Path(name).parent / ".gitignore")
        paths = [f"{name}.dvc", *([ignore] if (self.root / ignore).exists() else [])]
        changed = await self.commit(message, paths)
        commit = await self._git("rev-parse", "HEAD", check=False)
        return DataVersion(name, md5, (commit or "").strip(), message, changed)

    async def commit(self, message: str, paths: list[str]) -> bool:
        """Commit these paths to git; whether anything of them was new."""
        await self._git("add", "--", *paths)
        if not (await self._git("status", "--porcelain", "--", *paths) or "").strip():
            return False
        await self._git("commit", "--quiet", "-m", message, "--", *paths)
        return True

    async def push(self, remote: str | None = None) -> str:
        """Send what DVC keeps to the remote store; what DVC says."""
        return await self.dvc("push", *_of(remote))

    async def pull(self, remote: str | None = None) -> str:
        """Bring what the remote store has; what DVC says."""
        return await self.dvc("pull", *_of(remote))

    # --- pipelines ----------------------------------------------------------------------------------------------------

    async def repro(self, *stages: str) -> tuple[str, ...]:
        """Bring the pipeline up to date; the stages that ran, in order: none where nothing has changed."""
        said = await self.dvc("repro", *stages)
        return tuple(re.findall(r"^Running stage '([^']+)'", said, re.MULTILINE))

    async def status(self) -> Any:
        """What has changed since the last reproduction, as DVC's JSON has it; empty where nothing has."""
        return await self._json("status", "--json")

    async def diff(self, what: str, *revisions: str) -> Any:
        """How ``metrics``, ``params`` or ``plots`` differ between revisions, or from the last commit.

        Raises:
            InputError: DVC compares no such thing.
        """
        if what not in {"metrics", "params", "plots"}:
            raise InputError(f"DVC does not compare {what!r}; it compares metrics, params and plots")
        if what == "plots":
            return await self.dvc("plots", "diff", "--show-vega", *revisions)
        return await self._json(what, "diff", "--json", *revisions)

    # --- programs -----------------------------------------------------------------------------------------------------

    async def dvc(self, *words: str) -> str:
        """One command of DVC; what it printed, secrets masked. Never ``--quiet``: that hides why it failed, too.

        Raises:
            BackendError: it is not installed, fails, or takes longer than it may.
        """
        return str(await self._run(program(self._variables), *words))

    async def _json(self, *words: str) -> Any:
        import json

        return json.loads(await self.dvc(*words) or "{}")

    async def _git(self, *words: str, check: bool = True) -> str | None:
        git = shutil.which("git", path=self._variables.get("PATH"))
        if git is None:
            raise BackendError("git is not installed, and DVC keeps its versions in it; install it (apt install git)")
        return await self._run(git, *words, check=check)

    async def _run(self, path: str, *words: str, check: bool = True) -> str | None:
        name = f"{Path(path).name} {words[0]}"
        try:
            with anyio.fail_after(self._limit_s):
                done = await anyio.run_process([path, *words], cwd=self.root, env=self._environment(), check=False)
        except TimeoutError:
            raise BackendError(
                f"{name} took longer than {self._limit_s:g} s and was ended; give it more time"
            ) from None
        except OSError as error:
            raise BackendError(f"{name} cannot be run in {self.root}: {error}") from error
        said = self._masked(done.stdout.decode(errors="replace"))
        if done.returncode == 0:
            return said
        if not check:
            return None
        wrong = self._masked(done.stderr.decode(errors="replace")).strip() or said.strip()
        raise BackendError(f"{name} failed ({done.returncode}): " + "\n".join(wrong.splitlines()[-TOLD:]))

    def _environment(self) -> dict[str, str]:
        """No analytics, no questions; and commands of a pipeline find the programs of this environment first."""
        here = str(Path(sys.executable).parent)
        path = os.pathsep.join([here, self._variables.get("PATH", os.defpath)])
        return {**self._variables, "DVC_NO_ANALYTICS": "1", "GIT_TERMINAL_PROMPT": "0", "PATH": path}

    def _is(self, folder: str) -> bool:
        return Path(folder).resolve() == self.root.resolve()

    def _masked(self, text: str) -> str:
        return mask(text, secrets_in({**self._variables}))

    def _relative(self, file: str | Path) -> str:
        path = Path(file)
        whole = (path if path.is_absolute() else self.root / path).resolve()
        try:
            return whole.relative_to(self.root.resolve()).as_posix()
        except ValueError:
            raise InputError(f"{file} lies outside of the repository {self.root}; DVC keeps what is in it") from None


def program(variables: Mapping[str, str] | None = None) -> str:
    """The path of ``dvc``: of this Python's environment, else on the path.

    Raises:
        BackendError: there is none; the message says how to get it.
    """
    beside = Path(sys.executable).with_name("dvc")
    if beside.exists():
        return str(beside)
    found = shutil.which("dvc", path=(variables or os.environ).get("PATH"))
    if found is None:
        raise BackendError(f"dvc is not installed: {REMEDY}")
    return found


def _of(remote: str | None) -> list[str]:
    return ["--remote", remote] if remote else []


def _quoted(key: str, value: str) -> str:
    """A value as DVC's config files have it.

    Raises:
        InputError: it has quotes of both kinds, or several lines.
    """
    for quote in ('"', "'"):
        if quote not in value and not set(value) & set("\r\n"):
            return f"{quote}{value}{quote}"
    raise InputError(f"the variable for {key} cannot be kept: it has quotes of both kinds, or several lines")


def _without_remote(text: str, name: str) -> list[str]:
    """The lines of a config file but for one remote's."""
    kept, inside = [], False
    for line in text.splitlines():
        if line.lstrip().startswith("["):
            inside = f'remote "{name}"' in line
        if not inside:
            kept.append(line)
    return kept
