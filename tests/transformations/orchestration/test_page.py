"""docs/orchestration.md: its DAG is Python, and every command in it one that the command line takes."""

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from transformations.cli.main import cli
from transformations.orchestration.tasks import SORTS, Kind

PAGE = (Path(__file__).parents[3] / "docs" / "orchestration.md").read_text()
(DAG,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
(CRON,) = re.findall(r"```cron\n(.*?)```", PAGE, re.DOTALL)


def commands() -> Iterator[str]:
    """Those of the DAG, of the cron line, and of the page's consoles."""
    texts = [node.value for node in ast.walk(ast.parse(DAG)) if isinstance(node, ast.Constant)]
    yield from (text for text in texts if isinstance(text, str) and text.startswith("features "))
    yield from re.findall(r"features run-day [^>\n]*", CRON)
    for console in re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL):
        yield from re.findall(r"^\$ (features [^#\n]*)", console, re.MULTILINE)


@pytest.mark.parametrize("text", list(commands()))
def test_a_command_of_the_page_is_one_that_the_command_line_takes(text: str) -> None:
    _, name, *arguments = shlex.split(re.sub(r"\{\{[^}]*\}\}", "2024-05-10", text))
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    context = command.make_context(name, arguments)
    known = {each.value for each in Kind} | {sort.pipeline.value for sort in SORTS.values()}
    assert set(context.params.get("wanted", ())) <= known


def test_the_dag_has_a_task_a_pipeline_in_their_order() -> None:
    told = [text for text in commands() if "{{" in text]
    assert [text.split()[-1] for text in told] == list(dict.fromkeys(sort.pipeline.value for sort in SORTS.values()))


def test_the_table_names_each_kind_of_task_with_its_command() -> None:
    rows = re.findall(r"^\| \w* ?\| `(\w+)[:\w]*` \| `(?:features|feast) ", PAGE, re.MULTILINE)
    assert rows == [kind.value for kind in Kind]
