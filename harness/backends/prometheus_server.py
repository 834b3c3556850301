"""A Prometheus of a run's own: started beside the replicas, told whom to scrape, and ended with the run.

    Place.folder/prometheus/prometheus.yml, targets.json, data/      its settings, whom it scrapes, what it has scraped
    Place.folder/processes/prometheus.log                            what it says

Where the user has a Prometheus (``real.prometheus.url``), nothing is started; ``Place.state/targets/RUN.json`` says
whom it should scrape, in the form of ``file_sd_configs``, follows the replicas as they come and go, and goes with the
run. The folder is the same for all runs: ``files: [reports/.state/targets/*.json]`` finds them.

It is not started again when it ends in the middle of a run: what was not scraped then nobody knows, and each look says
that it could not be answered. Prometheus takes up a change of its targets once in five seconds: a new replica is seen
by then, and what it answered until then is counted at its first scrape.
"""

import asyncio
import contextlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlsplit

import anyio

from harness.backends import processes
from harness.domain.scenario import Scenario
from harness.domain.secrets import mask
from harness.domain.units import MILLISECOND, SECOND
from harness.errors import BackendError
from harness.realtime import Place

Scraped = Callable[[], Mapping[str, Mapping[str, str]]]
"""Whom to scrape now: URLs with their labels (`Fleet.scraped`, `Gateway.scraped`)."""

NAME: Final = "prometheus"
HOST: Final = "127.0.0.1"
READY_S: Final = 60.0
TAKE_UP_S: Final = 15.0
"""How long one that was found may take to answer."""
LOOK_S: Final = 0.05
ANSWER_S: Final = 5.0
GRACE_S: Final = 10.0
FIRST_S: Final = 30.0
"""How long the first scrape may take, beside two intervals between scrapes; Prometheus itself waits 5 s before it."""
RETENTION: Final = ("--storage.tsdb.retention.time=15d", "--storage.tsdb.retention.size=1GB")
"""What it keeps at most; two replicas and a router are some 10 MB a day at a scrape a second."""
ATTEMPTS: Final = 3
"""Starts, each on another port: one that was free may be taken by the time that Prometheus listens."""


class ManagedPrometheus:
    """Starts Prometheus and keeps its targets; where the scenario gives an address, it keeps the targets only.

    Args:
        scenario: ``real.prometheus`` of it.
    """

    def __init__(self, scenario: Scenario) -> None:
        self._plan, self._scenario = scenario.real.prometheus, scenario.name
        self._where: Place | None = None
        self._note: processes.Note | None = None
        self._written: str | None = None
        self._failed = ""
        self._follower: asyncio.Task[None] | None = None

    def place(self, where: Place) -> None:
        """Where its files go; called before `start` or `attach`."""
        self._where = where

    @property
    def url(self) -> str:
        """Where it answers.

        Raises:
            BackendError: it has not been started.
        """
        url = self._plan.url or (self._note.url if self._note else None)
        if url is None:
            raise BackendError("Prometheus has not been started")
        return url

    @property
    def targets(self) -> Path:
        """The file of whom to scrape."""
        if self._plan.url:
            return self._place.state / "targets" / f"{quote(self._place.run, safe='')}.json"
        return self._folder / "targets.json"

    @property
    def _folder(self) -> Path:
        return self._place.folder / NAME

    @property
    def _place(self) -> Place:
        if self._where is None:
            raise BackendError("Prometheus has no place to keep its files in; `place` comes first")
        return self._where

    def check(self) -> None:
        """Raise BackendError where figures would be missing: it has ended, or its targets could not be written."""
        if self._plan.url is not None:
            return  # whom that one scrapes is its owner's affair
        if self._note is not None and not processes.alive(self._note):
            raise BackendError(
                f"the Prometheus of this run (pid {self._note.pid}) has ended, and with it what it would have counted "
                f"(it wrote processes/{self._note.log.name})"
            )
        if self._failed:
            raise BackendError(f"whom Prometheus scrapes could not be written: {self._failed}")

    # --- its life ---

    async def start(self, scraped: Scraped) -> None:
        """Start it, and follow whom it should scrape; returns when it has scraped for the first time.

        Raises:
            BackendError: it cannot be started, does not answer in time, or can scrape nobody.
        """
        self._write(scraped)
        self.check()
        if self._plan.url is None:
            await self._launch()
            await self._first_scrape(scraped)
        self._follower = asyncio.get_running_loop().create_task(self._follow(scraped), name="targets of Prometheus")

    async def attach(self, scraped: Scraped) -> None:
        """As `start`, but taking up the one that a killed run of the same place left, with what it has scraped."""
        if self._plan.url is None:
            self._note = await self._found()
        if self._note is None:
            await self.start(scraped)
            return
        self._write(scraped)
        self._follower = asyncio.get_running_loop().create_task(self._follow(scraped), name="targets of Prometheus")

    async def stop(self) -> None:
        """End it; stopping again changes nothing. What it has scraped stays on disk."""
        note, began = self._note, self._follower is not None
        await self.leave()
        if note is not None:
            await processes.stop(note, GRACE_S)
        if began and self._plan.url is not None:
            self.targets.unlink(missing_ok=True)  # the addresses may be another's soon

    async def leave(self) -> None:
        """Tell it of replicas no more; it scrapes on."""
        follower, self._follower = self._follower, None
        if follower is not None:
            follower.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await follower
        self._note = None

    # --- the process ---

    @property
    def _data(self) -> Path:
        return self._folder / "data"

    async def _launch(self) -> None:
        config = self._folder / "prometheus.yml"
        config.write_text(config_text(self.targets, self._plan.scrape_ns))
        for attempt in range(1, ATTEMPTS + 1):
            port = _free_port()
            command = (
                NAME,
                f"--config.file={config}",
                f"--storage.tsdb.path={self._data}",
                f"--web.listen-address={HOST}:{port}",
                *RETENTION,
                "--log.level=warn",
            )
            self._note = processes.start(self._place, NAME, kind=NAME, command=command, url=f"http://{HOST}:{port}")
            try:
                await self._ready(self._note)
                return
            except BackendError:
                note, self._note = self._note, None
                said = processes.told(note)
                await processes.stop(note, GRACE_S)
                if attempt == ATTEMPTS or "address already in use" not in said:
                    raise

    async def _found(self) -> processes.Note | None:
        """The one that a killed run of the same place left; one that does not answer is ended: its data are ours."""
        for note in processes.notes(self._place.state, run=self._place.run):
            if note.kind != NAME or not processes.alive(note):
                continue
            taken = processes.take_over(note)
            try:
                await self._ready(taken, TAKE_UP_S)
                return taken
            except BackendError:
                await processes.stop(taken, GRACE_S)
        return None

    async def _first_scrape(self, scraped: Scraped) -> None:
        """Return once each target has been tried, and one at least has answered."""
        seen: Sequence[Mapping[str, Any]] = ()
        with anyio.move_on_after(FIRST_S + 2 * self._plan.scrape_ns / SECOND):
            while scraped():
                self.check()
                self._write(scraped)
                seen = await _targets(self.url)
                if len(seen) >= len(scraped()) and all(each["health"] != "unknown" for each in seen):
                    break
                await anyio.sleep(LOOK_S)
        if scraped() and not any(each["health"] == "up" for each in seen):
            said = "; ".join(f"{each['scrapeUrl']}: {each['lastError'] or each['health']}" for each in seen)
            raise BackendError(f"Prometheus can scrape nobody: {mask(said) or 'it has taken up no target'}")

    async def _ready(self, note: processes.Note, within_s: float = READY_S) -> None:
        with anyio.move_on_after(within_s):
            while processes.alive(note):
                if await _is_ours(note.url or "", self._data):
                    return
                await anyio.sleep(LOOK_S)
            raise BackendError(f"Prometheus ended before it was ready; {processes.told(note)}")
        raise BackendError(f"Prometheus was not ready within {within_s:g} s; {processes.told(note)}")

    # --- whom it scrapes ---

    async def _follow(self, scraped: Scraped) -> None:
        while True:
            await anyio.sleep(self._plan.scrape_ns / SECOND)
            self._write(scraped)

    def _write(self, scraped: Scraped) -> None:
        """Write the targets if they have changed; a failure is told by `check`, and tried again."""
        try:
            text = targets_text({url: {**self._ours(), **labels} for url, labels in scraped().items()})
            if text != self._written:
                self.targets.parent.mkdir(parents=True, exist_ok=True)
                beside = self.targets.with_suffix(".new")
                beside.write_text(text)
                beside.replace(self.targets)
                self._written = text
            self._failed = ""
        except (OSError, BackendError) as error:
            self._failed = mask(str(error))

    def _ours(self) -> Mapping[str, str]:
        """Labels that tell one rollout from another, where one Prometheus scrapes several."""
        return {"scenario": self._scenario, "run": self._place.run} if self._plan.url else {}


# --- its files ---


def targets_text(scraped: Mapping[str, Mapping[str, str]]) -> str:
    """Targets as ``file_sd_configs`` takes them.

    Args:
        scraped: URLs of servers or of their metrics, with the labels of each.

    Raises:
        BackendError: one is no URL.

    >>> print(targets_text({"http://127.0.0.1:81": {"arm": "stable"}}))
    [
     {
      "targets": [
       "127.0.0.1:81"
      ],
      "labels": {
       "arm": "stable"
      }
     }
    ]
    """
    groups = []
    for url, labels in sorted(scraped.items()):
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise BackendError(f"{url} is no address that can be scraped")
        special = {}
        if parts.scheme == "https":
            special["__scheme__"] = "https"
        if parts.path.rstrip("/"):
            special["__metrics_path__"] = parts.path
        port = "" if parts.port else (":443" if parts.scheme == "https" else ":80")
        groups.append({"targets": [parts.netloc + port], "labels": {**labels, **special}})
    return json.dumps(groups, indent=1)


def config_text(targets: Path, scrape_ns: int) -> str:
    """The settings of a Prometheus that scrapes what a file says; JSON, which is YAML.

    Labels that a server gives its own series stay: the router's ``arm`` is the arm that it asked.
    """
    every = f"{max(scrape_ns // MILLISECOND, 1)}ms"
    job = {
        "job_name": "harness",
        "honor_labels": True,
        "file_sd_configs": [{"files": [str(targets)], "refresh_interval": every}],
    }
    timing = {"scrape_interval": every, "scrape_timeout": every}
    return json.dumps({"global": timing, "scrape_configs": [job]}, indent=1)


def _free_port() -> int:
    from harness.serving.process import Place as Address
    from harness.serving.process import bound

    listening = bound(Address(HOST), listening=False)
    try:
        port: int = listening.getsockname()[1]
        return port
    finally:
        listening.close()


async def _targets(url: str) -> Sequence[Mapping[str, Any]]:
    """What a Prometheus says of whom it scrapes; empty where it does not answer."""
    import aiohttp

    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=ANSWER_S)) as session,
            session.get(f"{url}/api/v1/targets?state=active", allow_redirects=False) as response,
        ):
            return tuple((await response.json())["data"]["activeTargets"])
    except (TimeoutError, aiohttp.ClientError, OSError, ValueError, KeyError, TypeError):
        return ()


async def _is_ours(url: str, data: Path) -> bool:
    """Whether a Prometheus answers there, and keeps its data where ours does: a port may be another's by now."""
    import aiohttp

    limit = aiohttp.ClientTimeout(total=ANSWER_S)
    try:
        async with aiohttp.ClientSession(timeout=limit) as session:
            async with session.get(f"{url}/-/ready", allow_redirects=False) as response:
                if response.status != 200:
                    return False
            async with session.get(f"{url}/api/v1/status/flags", allow_redirects=False) as response:
                flags = (await response.json())["data"]
                return Path(flags["storage.tsdb.path"]) == data
    except (TimeoutError, aiohttp.ClientError, OSError, ValueError, KeyError, TypeError):
        return False
