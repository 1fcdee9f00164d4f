"""The worker at full speed for a while, and whether what it takes stays the same. `make soak`.

A worker with a live feed that talks as fast as it is let (every twentieth post is long), replays at full speed one
after the other, and a page that listens. Sampled every few seconds: memory, file handles, the write-ahead logs, how
long a post takes from its making to the page, how late the event loop is. Flat means: the last quarter is no more than
a tenth (or a small amount) above the second one.

With `--memory-mb` the worker runs in a cgroup of its own with that much memory and no swap, where one can be made; so
it is killed if it ever takes more.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import platform
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from benchmarks import posts
from tests.proof.processes import free_port

CGROUPS: Final = Path("/sys/fs/cgroup")
SAMPLE_S: Final = 5.0


class Measure(NamedTuple):
    """A column of the table; `slack` is how much more the last quarter may be, whatever a tenth is."""

    title: str
    slack: float


MEASURES: Final = {
    "rss_mb": Measure("resident memory, MB", 15),
    "fds": Measure("file handles", 3),
    "wal_mb": Measure("write-ahead logs, MB", 20),
    "latency_s": Measure("made to page, s (median)", 0.5),
    "delay_ms": Measure("event loop late, ms (mean)", 5),
    "posts_s": Measure("posts/s", float("inf")),
}


@dataclass
class Soak:
    """One run: its worker's process, and what was seen."""

    folder: Path
    port: int
    worker: asyncio.subprocess.Process
    samples: list[dict[str, float]] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)
    replays: int = 0
    replayed: int = 0
    before: dict[str, float] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def watch_page(self, client: aiohttp.ClientSession) -> None:
        """Listen as a page does; how old is each live post when it comes?"""
        while True:
            with contextlib.suppress(aiohttp.ClientError):
                async with client.get(f"{self.url}/events", timeout=aiohttp.ClientTimeout(total=None)) as response:
                    async for line in response.content:
                        if line.startswith(b'data: {"id"') and b'"feed":"demo"' in line and b'"op":"add"' in line:
                            made = datetime.fromisoformat(json.loads(line[6:])["time"])
                            self.latencies.append(time.time() - made.timestamp())
            await asyncio.sleep(1)

    async def replay(self, file: Path, count: int) -> None:
        """Replay the same posts again and again, each time as another task."""
        while True:
            command = [sys.executable, "-m", "heartbeat", "replay", str(file), "--fast", "--speed", "max"]
            command += ["--task", f"soak-{self.replays}", "--data-dir", str(self.folder / "data")]
            client = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.DEVNULL)
            try:
                if await client.wait() == 0:
                    self.replays, self.replayed = self.replays + 1, self.replayed + count
            except asyncio.CancelledError:
                client.send_signal(signal.SIGTERM)
                await client.wait()
                raise

    async def sample(self, client: aiohttp.ClientSession) -> None:
        """One look at /metrics, and at what the page has seen since the last one."""
        async with client.get(f"{self.url}/metrics") as response:
            text = await response.text()
        now: dict[str, float] = {"at": time.monotonic()}
        for family in text_string_to_metric_families(text):
            for one in family.samples:
                if not one.name.endswith("_bucket"):
                    now[one.name] = now.get(one.name, 0) + one.value
        if self.before:
            since = {name: now[name] - self.before.get(name, 0) for name in now}
            looks = max(since["heartbeat_event_loop_delay_seconds_count"], 1)
            heard, self.latencies = self.latencies, []
            self.samples.append(
                {
                    "rss_mb": now["process_resident_memory_bytes"] / 2**20,
                    "fds": now["process_open_fds"],
                    "wal_mb": now["heartbeat_wal_bytes"] / 2**20,
                    "latency_s": statistics.median(heard) if heard else float("nan"),
                    "delay_ms": 1000 * since["heartbeat_event_loop_delay_seconds_sum"] / looks,
                    "posts_s": since["heartbeat_feed_posts_total"] / since["at"],
                }
            )
        self.before = now

    def quarters(self, name: str) -> list[float]:
        """The mean of each quarter of the run."""
        values = [sample[name] for sample in self.samples]
        cuts = [round(len(values) * at / 4) for at in range(5)]
        parts = [[v for v in values[a:b] if v == v] for a, b in zip(cuts, cuts[1:], strict=False)]
        return [statistics.fmean(part) if part else float("nan") for part in parts]

    def verdict(self) -> bool:
        """Print the table; whether everything is flat."""
        flat = True
        print(f"\n| {'':28} | 1st quarter | 2nd | 3rd | 4th | most | |\n|---|---|---|---|---|---|---|")
        for name, measure in MEASURES.items():
            parts = self.quarters(name)
            most = max((sample[name] for sample in self.samples if sample[name] == sample[name]), default=float("nan"))
            ok = not parts[3] > parts[1] + max(0.1 * abs(parts[1]), measure.slack)
            flat &= ok
            judged = "" if measure.slack == float("inf") else "flat" if ok else "grows"
            print(f"| {measure.title:28} | {' | '.join(f'{part:,.1f}' for part in parts)} | {most:,.1f} | {judged} |")
        print(f"\n{self.replays} replays, {self.replayed:,} posts of files; {len(self.samples)} samples")
        return flat


@contextlib.contextmanager
def cgroup(memory_mb: int | None) -> Iterator[Path | None]:
    """A cgroup with so much memory, of version 2 or 1; None where there can be none."""
    if memory_mb is None:
        yield None
        return
    unified = (CGROUPS / "cgroup.controllers").exists()
    place = (CGROUPS if unified else CGROUPS / "memory") / f"heartbeat-soak-{os.getpid()}"
    limits = ("memory.max", "memory.swap.max") if unified else ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes")
    try:
        place.mkdir()
        (place / limits[0]).write_text(str(memory_mb * 2**20))
        with contextlib.suppress(OSError):  # no swap is accounted for here
            (place / limits[1]).write_text("0" if unified else str(memory_mb * 2**20))
    except OSError as error:
        with contextlib.suppress(OSError):
            place.rmdir()
        raise SystemExit(f"no cgroup can be made here ({error}); leave --memory-mb out") from error
    try:
        yield place
    finally:
        with contextlib.suppress(OSError):
            place.rmdir()


async def begin(folder: Path, given: argparse.Namespace, group: Path | None) -> Soak:
    """Start the worker, and wait until it answers."""
    port = free_port()
    words = [sys.executable, "-m", "faust", "-A", "benchmarks.flooded", "worker", "-l", "info"]
    if group is not None:
        words = ["sh", "-c", 'echo $$ > "$0"/cgroup.procs && exec "$@"', str(group), *words]
    with (folder / "worker.log").open("wb") as log:
        worker = await asyncio.create_subprocess_exec(
            *words,
            env={
                **os.environ,
                "HEARTBEAT_DATA_DIR": str(folder / "data"),
                "HEARTBEAT_WEB_PORT": str(port),
                "FLOOD_POSTS_PER_S": str(given.live_posts_s),
                "FLOOD_LONG": str(given.long),
            },
            stdout=log,
            stderr=log,
        )
    soak = Soak(folder, port, worker)
    async with aiohttp.ClientSession() as client:
        for _ in range(600):
            with contextlib.suppress(aiohttp.ClientError):
                async with client.get(f"{soak.url}/ready") as response:
                    if response.status == 200:
                        return soak
            if worker.returncode is not None:
                break
            await asyncio.sleep(0.2)
    raise SystemExit(f"the worker did not start; its log: {folder / 'worker.log'}")


async def run(folder: Path, given: argparse.Namespace, group: Path | None) -> bool:
    """Let it run for as long as was asked for."""
    origin = posts.write(folder / "posts.jsonl", given.replay_posts)
    soak = await begin(folder, given, group)
    print(
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {given.minutes:g} min, {os.cpu_count()} processors "
        f"({platform.machine()}), load of the machine before: {os.getloadavg()[0]:.1f}"
    )
    print(f"live: up to {given.live_posts_s:g} posts/s, every 20th of {given.long:,} characters; replays: {origin}")
    async with aiohttp.ClientSession() as client:
        busy = [
            asyncio.create_task(soak.watch_page(client)),
            asyncio.create_task(soak.replay(folder / "posts.jsonl", given.replay_posts)),
        ]
        until = time.monotonic() + 60 * given.minutes
        while time.monotonic() < until and soak.worker.returncode is None:
            await asyncio.sleep(SAMPLE_S)
            with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                await soak.sample(client)
                print(
                    json.dumps({name: round(value, 1) for name, value in soak.samples[-1].items()})
                    if soak.samples
                    else ""
                )
        for task in busy:
            task.cancel()
        await asyncio.gather(*busy, return_exceptions=True)
    flat = soak.verdict()
    if soak.worker.returncode is not None:
        print(f"the worker ended by itself ({soak.worker.returncode}): see {folder / 'worker.log'}")
        return False
    if group is not None:
        peak = next(group / name for name in ("memory.peak", "memory.max_usage_in_bytes") if (group / name).exists())
        print(f"the most that its cgroup held, file cache included: {int(peak.read_text()) / 2**20:,.0f} MB")
    status = Path(f"/proc/{soak.worker.pid}/status").read_text()
    print(next(line for line in status.splitlines() if line.startswith("VmHWM")))
    soak.worker.send_signal(signal.SIGTERM)
    await soak.worker.wait()
    return flat


def main(arguments: Sequence[str] | None = None) -> None:
    """Run, tell, and exit with 0 if everything is flat."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--live-posts-s", type=float, default=1000, help="how fast the live feed may talk")
    parser.add_argument("--long", type=int, default=20_000, help="characters of its long posts")
    parser.add_argument("--replay-posts", type=int, default=100_000, help="posts of each replay")
    parser.add_argument("--memory-mb", type=int, help="run in a cgroup with this much memory")
    parser.add_argument("--verbose", action="store_true", help="print every sample")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="heartbeat-soak-") as folder, cgroup(given.memory_mb) as group:
        flat = asyncio.run(run(Path(folder), given, group))
    print("flat" if flat else "not flat")
    sys.exit(not flat)


if __name__ == "__main__":
    main()
