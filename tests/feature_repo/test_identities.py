"""The hashes by which tables, registry and on-demand views know the demo's definitions: moving code changes none."""

from pathlib import Path

from transformations.engine.base.settings import Settings
from transformations.engine.vocabulary.functions import RowFunction
from transformations.engine.vocabulary.resolution import resolve
from transformations.stores.base.domain_files import definitions, domain_modules
from transformations.stores.base.views import contract_reader

AGREED = Path(__file__).with_name("identities.txt")


def test_the_identity_of_every_definition_is_as_agreed(settings: Settings) -> None:
    read = contract_reader(settings)
    views = {name: resolve(definition, read).hash for name, definition in definitions().items()}
    functions = {
        f"{module.__name__}:{name}": value.content_hash
        for module in domain_modules()
        for name, value in vars(module).items()
        if isinstance(value, RowFunction) and value.function.__module__ == module.__name__
    }
    found = "".join(f"{name} {identity}\n" for name, identity in sorted((views | functions).items()))
    assert found == AGREED.read_text(), (
        "Tables built before this change would be rebuilt, and on-demand views refused until `feast apply`. "
        f"Where that is meant, write the new identities into {AGREED.name}."
    )
