"""A function's hash sees all that it computes by, and nothing else; in every process the same."""

import importlib
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

import transformations
from transformations.engine.base.errors import DefinitionError
from transformations.engine.identity import code_hash
from transformations.engine.identity.code_hash import hash_of_function
from transformations.engine.vocabulary.functions import quotient

# The function of `shop.features`, and what it reaches by every way that code reaches code.
FILES = {
    "shop/__init__.py": "",
    "shop/deep/__init__.py": "",
    "shop/deep/rules.py": """
        LIMIT = 5
        def limited(value):
            return min(value, LIMIT)
        """,
    "shop/late.py": """
        def imported_in_the_body(value):
            return value + 21
        """,
    "shop/kinds.py": """
        import enum, dataclasses
        class Base:
            OFFSET = 11
            def inherited(self, value):
                return value + 12
        class Rule(Base):
            @staticmethod
            def fixed(value):
                return value + 13
            @classmethod
            def of_class(cls, value):
                return value + 14
            @property
            def rate(self):
                return 15
            def apply(self, value):
                '''Applies it.'''
                return value + self.OFFSET
        @dataclasses.dataclass(frozen=True)
        class Band:
            low: int
            high: int = 16
            def holds(self, value):
                return self.low <= value <= self.high
        class Grade(enum.Enum):
            GOOD = 17
            BAD = 0
        """,
    "shop/features.py": """
        import datetime, functools, math, re
        import shop.deep.rules
        from shop import kinds
        from shop.deep import rules as aliased
        from shop.kinds import Band, Grade

        # A comment.
        FACTOR = 2
        TABLE = {"a": 31, "b": (32, [33])}
        NAMES = {"x34", "y", "z"}
        PATTERN = re.compile("p35")
        FIND = re.compile("p41").search
        SPAN = datetime.timedelta(days=36)
        RULE = kinds.Rule()
        BAND = Band(low=37)
        LAMBDA = lambda value: value + 38
        DISPATCH = {
            "double": lambda value: value * 39,
            "helper": aliased.limited,
        }

        def helper(value, step=40):
            '''Adds a step.'''
            def inner(one):
                '''Documented too.'''
                return one + step
            return inner(value)

        def keyword(value, *, scale=42):
            return value * scale

        def wrapped(function):
            @functools.wraps(function)
            def wrapper(value):
                return function(value) + 43
            return wrapper

        @wrapped
        def decorated(value):
            return value + 44

        @functools.lru_cache
        def cached(value):
            return value + 45

        partly = functools.partial(helper, step=46)

        def made(offset):
            def closure(value):
                return value + offset
            return closure

        closed = made(47)

        def even(value):
            return value == 0 or odd(value - 1)

        def odd(value):
            return value != 48 and even(value - 1)

        def unrelated(value):
            return value + 99

        def total(value: int) -> int:
            '''The total.'''
            from shop.late import imported_in_the_body
            from .deep import rules as relative
            steps = [helper(each) for each in (value, FACTOR)]
            value += shop.deep.rules.limited(value) + relative.LIMIT
            value += RULE.apply(value) + kinds.Rule.fixed(value) + Grade.GOOD.value + BAND.low + kinds.Base.OFFSET
            value += LAMBDA(value) + DISPATCH["double"](value) + len(NAMES) + len(TABLE) + SPAN.days
            value += keyword(value) + decorated(value) + cached(value) + partly(value) + closed(value) + even(value)
            value += imported_in_the_body(value) + math.floor(value) + bool(PATTERN.match("p")) + bool(FIND("p"))
            return sum(steps) + value
        """,
}


@pytest.fixture
def hash_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """The hash of `shop.features:total`, these texts replaced in its package."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def hashed(*replaced: tuple[str, str]) -> str:
        write(tmp_path, *replaced)
        for name in [name for name in sys.modules if name.partition(".")[0] == "shop"]:
            monkeypatch.delitem(sys.modules, name)
        importlib.invalidate_caches()
        return hash_of_function(importlib.import_module("shop.features").total)

    return hashed


def write(folder: Path, *replaced: tuple[str, str]) -> None:
    unused = dict(replaced)
    for name, original in FILES.items():
        text = original
        for old, new in replaced:
            if old in text:
                text = text.replace(old, new)
                unused.pop(old, None)
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text).lstrip("\n"))
    assert not unused


REACHED = """
    LIMIT = 5 | + 21 | OFFSET = 11 | + 12 | + 13 | + 14 | return 15 | high: int = 16 | GOOD = 17 | : 31 | (32 | [33
    x34 | p35 | days=36 | low=37 | + 38 | * 39 | step=40 | p41 | scale=42 | + 43 | + 44 | + 45 | step=46 | made(47
    != 48 | FACTOR = 2 | floor(value | min(value | self.low <= value
"""


@pytest.mark.parametrize("number", [each.strip() for line in REACHED.strip().splitlines() for each in line.split("|")])
def test_whatever_the_function_reaches_counts(hash_with: Callable[..., str], number: str) -> None:
    digits = "".join(filter(str.isdigit, number))
    changed = number.replace(digits, f"{digits}5") if digits else number.replace("value", "value + 1")
    assert hash_with((number, changed)) != hash_with()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("# A comment.", "# Another one,\n        # of two lines."),
        ("'''The total.'''", "'''The sum of all.'''"),
        ("'''Adds a step.'''", "'''Adds.'''"),
        ("'''Documented too.'''", "'''Otherwise.'''"),
        ("'''Applies it.'''", "'''Does.'''"),
        (
            "return sum(steps) + value",
            "return (\n                sum(steps)\n                + value  # all of it\n            )",
        ),
        ("total(value: int) -> int", "total(value: float)"),
        ("value + 99", "value + 100"),
        ("GOOD = 17", "GOOD = (\n                17\n            )"),
    ],
)
def test_whatever_computes_nothing_does_not(hash_with: Callable[..., str], old: str, new: str) -> None:
    assert hash_with((old, new)) == hash_with()


def test_every_process_and_folder_gives_the_same_hash(hash_with: Callable[..., str], tmp_path: Path) -> None:
    here = hash_with()
    imports = "from transformations.engine.identity.code_hash import hash_of_function; import shop.features as f"
    code = f"{imports}; print(hash_of_function(f.total))"
    for number, options in enumerate(([], ["-O"], [])):
        folder = tmp_path / f"elsewhere-{number}"
        write(folder)
        environment = {**os.environ, "PYTHONHASHSEED": str(number), "PYTHONPATH": str(folder)}
        command = [sys.executable, *options, "-c", code]
        said = subprocess.run(command, capture_output=True, text=True, check=True, env=environment, cwd=tmp_path)
        assert said.stdout.strip() == here


def test_a_file_that_changed_after_its_import_is_not_taken_for_the_code_that_runs(
    hash_with: Callable[..., str], tmp_path: Path
) -> None:
    hash_with()
    total = sys.modules["shop.features"].total
    write(tmp_path, ("+ 44", "+ 441"))
    with pytest.raises(DefinitionError, match=r"features.py has changed since decorated was imported from it"):
        hash_of_function(total)


def test_a_function_without_source_is_refused() -> None:
    names: dict[str, object] = {"__name__": "notebook"}
    exec("def nowhere(value):\n    return value\n", names)
    with pytest.raises(DefinitionError, match=r"function nowhere has no source \(<string>\)"):
        hash_of_function(names["nowhere"])  # type: ignore[arg-type]


def test_a_value_that_holds_itself_has_an_end() -> None:
    loop: list[object] = [1]
    loop.append(loop)

    def of_loop() -> object:
        return loop

    assert hash_of_function(of_loop) == hash_of_function(of_loop)


def rated(value: object) -> object:
    return quotient(value, value)  # type: ignore[arg-type]


def test_a_moved_or_faster_function_of_the_platform_changes_no_hash(monkeypatch: pytest.MonkeyPatch) -> None:
    before = hash_of_function(rated)
    names = {"__name__": "transformations.engine.elsewhere"}
    exec("def quotient(numerator, denominator):\n    return numerator / denominator\n", names)
    monkeypatch.setitem(globals(), "quotient", names["quotient"])
    assert hash_of_function(rated) == before


def test_another_version_of_the_vocabulary_changes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    before = hash_of_function(rated)
    monkeypatch.setattr(code_hash, "VOCABULARY", "vocabulary of another version")
    assert hash_of_function(rated) != before


def test_every_folder_beside_the_domain_files_is_known_as_the_platforms() -> None:
    folders = {folder.parent.name for folder in Path(transformations.__file__).parent.glob("*/__init__.py")}
    assert folders == code_hash.PLATFORM_ROOMS


def test_a_function_has_the_same_hash_where_the_platform_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    before = hash_of_function(rated), hash_of_function(quotient)
    monkeypatch.setattr(code_hash, "LIBRARIES", (Path(transformations.__file__).parents[1],))
    code_hash.is_installed.cache_clear()
    assert (hash_of_function(rated), hash_of_function(quotient)) == before
    code_hash.is_installed.cache_clear()
