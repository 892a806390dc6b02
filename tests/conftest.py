"""What several tests need: the command line, and a base and a domain small enough to run."""

from __future__ import annotations

import asyncio
import faulthandler
import gc
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from html import unescape
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

# Models here are tiny: threads only wait for each other, above all on a busy machine.
os.environ.setdefault("OMP_NUM_THREADS", "1")

REPOSITORY = Path(__file__).parents[1]
FOLDERS = ("", "domains", "routers", "plugins")

Command = Callable[..., "subprocess.CompletedProcess[str]"]
Cli = Callable[..., Result]
InThread = Callable[[Any, socket.socket], "AbstractContextManager[str]"]


@pytest.fixture(scope="session", autouse=True)
def _float32_by_itself() -> Iterator[None]:
    """Let ``auto`` be float32 whatever the processor: tests compare exact numbers."""
    from selfmoe.models import devices

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(devices, "bfloat16_instructions", lambda: None)
        yield


@pytest.fixture(scope="session")
def environment() -> Callable[..., dict[str, str]]:
    """Return what gives a quiet, offline subprocess its ``environment(*paths, **variables)``."""
    return _environment


def _environment(*paths: Path, **variables: str) -> dict[str, str]:
    found = [*map(str, paths), *(str(REPOSITORY / folder) for folder in FOLDERS)]
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("SELFMOE_")}
    fixed = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    return {**inherited, **fixed, "PYTHONPATH": os.pathsep.join(found), **variables}


@pytest.fixture
def command(tmp_path: Path) -> Command:
    """Run ``selfmoe`` as a user does: ``command("list-plugins", paths=(site,), VARIABLE="x")``."""

    def run(
        *arguments: str, paths: tuple[Path, ...] = (), cwd: Path = tmp_path, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "selfmoe", *arguments],
            env=_environment(*paths, **variables),
            cwd=cwd,
            capture_output=True,
            text=True,
            timeout=280,
        )

    return run


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Run ``selfmoe`` in this process, in an empty folder; an unexpected exception is raised."""
    from selfmoe.cli.app import cli as group

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")

    def run(*arguments: str) -> Result:
        result = CliRunner().invoke(group, list(arguments), prog_name="selfmoe")
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run


@pytest.fixture(scope="session")
def tiny_base_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a random two-block Llama with a byte tokenizer, saved as transformers saves it."""
    from selfmoe.testing.models import tiny_llama, tiny_tokenizer

    folder = tmp_path_factory.mktemp("tiny-base")
    tiny_llama(num_hidden_layers=2, max_position_embeddings=2048).save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def plugin_code() -> str:
    """Return a ``selfmoe_plugin.py`` with domains ``anything``, ``whatever`` and ``nothing``."""
    return PLUGIN


PLUGIN = '''
"""Domains that take whatever a random model writes."""

from selfmoe import hookimpl
from selfmoe.kits.domains.mini_track import MiniDomain
from selfmoe.contracts.prompts import Prompts
from selfmoe.contracts.records import Instruction, Rejected
from selfmoe_domain_math.mini import FAMILIES

SELFMOE_API = 1


class Anything(MiniDomain):
    """Takes whatever the base writes."""

    name = "anything"
    families = FAMILIES
    style = "marked"

    def prompts(self, source):
        return Prompts(brainstorm_header="Tasks.", stop=tuple("abcdefghijklmnopqrstuvwxyz\ufffd"))

    def parse(self, text):
        return Instruction(f"Say {text!r}.")


class Whatever(Anything):
    """Takes it, too."""

    name = "whatever"


class Nothing(Anything):
    """Takes nothing."""

    name = "nothing"

    def accept(self, example, source):
        return Rejected("not good enough")


@hookimpl
def register_domains():
    return [Anything, Whatever, Nothing]
'''


SMALL_RUN: Mapping[str, Any] = {
    "domains": ["anything", "whatever"],
    "preset": "demo",
    "dtype": "float32",
    "seeds": {"n": 6},
    "brainstorm": {"n": 8, "batch_size": 4, "max_new_tokens": 16, "shots": 2},
    "respond": {"shots": 1, "max_new_tokens": 16, "batch_size": 4},
    "specialise": {"options": {"max_steps": 3, "batch_size": 2, "lr": 0.01, "r": 2}},
    "compose": {
        "mixse": {"router": "topk", "options": {"max_steps": 3, "batch_size": 2}},
        "ties": {"merge": "ties"},
    },
    "evaluate": {"limit": 4, "batch_size": 4, "base_shots": 0},
}
"""All stages on a random base, in seconds."""


@pytest.fixture(scope="session")
def write_small_run(tiny_base_folder: Path, plugin_code: str) -> Callable[..., Path]:
    """Return what writes the run file of a small run, with its domains' plugin beside it.

    ``write_small_run(folder, {"seed": 1}, code=…)`` returns the file; sections are replaced whole.
    """

    def write(
        folder: Path, changes: Mapping[str, Any] | None = None, code: str = plugin_code
    ) -> Path:
        (folder / "selfmoe_plugin.py").write_text(code)
        settings = {**SMALL_RUN, "base": str(tiny_base_folder), **(changes or {})}
        (folder / "run.yaml").write_text(yaml.safe_dump(settings))
        return folder / "run.yaml"

    return write


@pytest.fixture(scope="session")
def words_of() -> Callable[[str], str]:
    """Return what says what a reader sees of a page, styles left out, as one line."""

    def words(page: str) -> str:
        text = re.sub(r"<style>.*?</style>|<[^>]+>", " ", page, flags=re.S)
        return " ".join(unescape(text).split())

    return words


CHROMIUM = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-dev-shm-usage", "--hide-scrollbars",
)  # fmt: skip


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Start Chromium with an empty profile; it keeps what pages log and ask for."""
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not (chromium and driver):
        pytest.skip("no chromium and chromedriver here: the page is not tried in a browser")
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for option in (*CHROMIUM, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(option)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    chrome = webdriver.Chrome(options, Service(driver))
    yield chrome
    chrome.quit()


@pytest.fixture(scope="session", autouse=True)
def _no_waiting_for_the_disk() -> Iterator[None]:
    """Let what is written be in the cache of the system alone: no test turns the power off."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


@pytest.fixture(scope="module", autouse=True)
def _imported_for_good() -> None:
    """Leave what is imported out of garbage collection: there are millions of such objects."""
    gc.collect()
    gc.freeze()


Install = Callable[..., Path]


@pytest.fixture(scope="session")
def install() -> Install:
    """Return what puts a distribution into a folder: ``install(site, name, code, requires="")``."""
    return _install


def _install(
    site: Path, name: str, code: str, *, requires: str = "", group: str = "selfmoe"
) -> Path:
    """Put a distribution with one entry point into a folder, as pip would leave it.

    Returns:
        Its metadata folder.
    """
    module = f"plugin_{name}".replace("-", "_")
    site.mkdir(parents=True, exist_ok=True)
    (site / f"{module}.py").write_text(code)
    metadata = site / f"selfmoe_{name}-1.2.dist-info".replace("-", "_", 1)
    metadata.mkdir()
    lines = ["Metadata-Version: 2.1", f"Name: selfmoe-{name}", "Version: 1.2"]
    lines += [f"Requires-Dist: {requires}"] if requires else []
    (metadata / "METADATA").write_text("\n".join(lines) + "\n")
    (metadata / "entry_points.txt").write_text(f"[{group}]\n{name} = {module}\n")
    return metadata


@pytest.fixture(scope="session")
def in_thread() -> InThread:
    """Return what lets a server of uvicorn answer: ``with in_thread(web, sock) as address``."""
    return _in_thread


@contextmanager
def _in_thread(web: Any, sock: socket.socket) -> Iterator[str]:
    thread = threading.Thread(target=lambda: asyncio.run(web.serve(sockets=[sock])))
    thread.start()
    try:
        yield f"http://127.0.0.1:{sock.getsockname()[1]}"
    finally:
        web.should_exit = True
        thread.join(120)
        if thread.is_alive():
            faulthandler.dump_traceback(sys.__stderr__)
        assert not thread.is_alive()
