"""The Dockerfiles of docs/deploy/, read: instructions with their arguments, as far as these files use them."""

import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "docs" / "deploy"


@dataclass(frozen=True)
class Dockerfile:
    """One file. steps: instruction and argument, in order."""

    role: str
    steps: tuple[tuple[str, str], ...]

    def all(self, instruction: str) -> list[str]:
        return [argument for name, argument in self.steps if name == instruction]

    @property
    def copied(self) -> list[str]:
        """The paths of the checkout that are copied."""
        parts = [shlex.split(argument) for argument in self.all("COPY")]
        return [path for words in parts if not words[0].startswith("--from") for path in words[:-1]]

    @property
    def installed(self) -> list[str]:
        """What pip is given, after its own options."""
        (line,) = [argument for argument in self.all("RUN") if "pip install" in argument]
        return shlex.split(line.partition("pip install")[2])

    @property
    def command(self) -> list[str]:
        (text,) = self.all("CMD")
        return list(json.loads(text))

    @property
    def health(self) -> list[str]:
        (text,) = self.all("HEALTHCHECK")
        return list(json.loads(text.partition("CMD ")[2]))

    @property
    def start_period(self) -> int:
        """The seconds after which a failing health check counts."""
        (text,) = self.all("HEALTHCHECK")
        return int(re.findall(r"--start-period=(\d+)s", text)[0])

    @property
    def packages(self) -> list[str]:
        """What is installed of the system, beside what the base has."""
        lines = [argument for argument in self.all("RUN") if "apt-get install" in argument]
        words = [shlex.split(re.split("&&|;", line.partition("apt-get install")[2])[0]) for line in lines]
        return [word for line in words for word in line if not word.startswith("-")]

    @property
    def variables(self) -> dict[str, str]:
        return dict(pair.split("=", 1) for argument in self.all("ENV") for pair in shlex.split(argument))


def read() -> Iterator[Dockerfile]:
    """All of them, by name."""
    for file in sorted(DEPLOY.glob("*.Dockerfile")):
        text = re.sub(r"^#.*\n", "", file.read_text(), flags=re.MULTILINE).replace("\\\n", " ")
        lines = [line.partition(" ") for line in text.splitlines() if line.strip()]
        yield Dockerfile(file.name.partition(".")[0], tuple((name, argument.strip()) for name, _, argument in lines))
