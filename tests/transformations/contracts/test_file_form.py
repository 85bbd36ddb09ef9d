"""What a contract says of its files: read as written, each mistake named."""

import pytest
import yaml

from transformations.contracts import ContractError, CsvDialect, FileForm, read_contract


@pytest.fixture
def form(tmp_path):
    """The form of files by a contract with these customProperties; `delay` is called `Dep Delay` in the file."""

    def read(**properties: object) -> FileForm:
        facts = {"validFrom": "2020-01-01T00:00:00+00:00", "businessDayZone": "UTC", "delivery": "append", **properties}
        column = {"logicalType": "string", "description": "Text"}
        source = {
            "name": "flights",
            "description": "One flight",
            "customProperties": [{"property": name, "value": value} for name, value in facts.items()],
            "properties": [
                {"name": "id", **column},
                {"name": "delay", "physicalName": "Dep Delay", **column},
            ],
        }
        document = {
            "apiVersion": "v3.1.0",
            "kind": "DataContract",
            "id": "flights",
            "version": "1.0.0",
            "team": {"name": "tests"},
            "schema": [source],
        }
        (tmp_path / "flights.yaml").write_text(yaml.safe_dump(document))
        contract = read_contract("flights", tmp_path)
        assert contract.column("delay").in_file == "Dep Delay"
        return contract.form

    return read


def test_a_contract_that_says_nothing_leaves_files_to_their_usual_form(form):
    assert form() == FileForm()


def test_all_of_a_files_form_can_be_said(form):
    csv = {"delimiter": ";", "quote": "'", "escape": "\\", "header": True, "encoding": "latin-1", "comment": "#"}
    assert form(csv=csv, nullTokens=["NA"], ignoredColumns=["note", ""], headerCase="ignore") == FileForm(
        csv=CsvDialect(delimiter=";", quote="'", escape="\\", header=True, encoding="iso8859-1", comment="#"),
        null_tokens=("NA",),
        ignored_columns=("note", ""),
        ignores_header_case=True,
    )


def test_a_dialect_reads_back_what_a_draft_writes_down(form):
    for dialect in (CsvDialect(), CsvDialect(delimiter="\t", header=False), CsvDialect(quote="", escape="")):
        assert form(csv=dialect.as_property()).csv == dialect


def test_a_quote_of_another_kind_is_doubled_too(form):
    assert form(csv={"quote": "'"}).csv == CsvDialect(quote="'", escape="'")


@pytest.mark.parametrize(
    "encoding",
    ["utf-8", "utf-8-sig", "utf-16", "utf-32-be", "ascii", "cp1252", "koi8-r", "shift_jis", "gb18030", "cp500"],
)
def test_any_encoding_of_files_can_be_declared(form, encoding):
    assert form(csv={"encoding": encoding}).csv.encoding


@pytest.mark.parametrize(
    ("properties", "problem"),
    [
        ({"csv": {"delimeter": ";"}}, "delimeter is not known; did you mean 'delimiter'"),
        ({"csv": {"delimiter": "::"}}, "delimiter is '::'. Write one ASCII character"),
        ({"csv": {"delimiter": ""}}, "delimiter is empty"),
        ({"csv": {"delimiter": '"'}}, "is also the quote or the comment"),
        ({"csv": {"escape": "/"}}, "escape is '/'"),
        ({"csv": {"header": "yes"}}, "header is 'yes'. Write true or false"),
        ({"csv": {"encoding": "latin-99"}}, "encoding is 'latin-99', unknown"),
        ({"csv": {"encoding": "idna"}}, "encoding is 'idna', unknown. Write one such as utf-8"),
        ({"csv": {"encoding": "punycode"}}, "encoding is 'punycode', unknown"),
        ({"csv": {"encoding": "unicode_escape"}}, "encoding is 'unicode_escape', unknown"),
        ({"csv": {"encoding": "raw_unicode_escape"}}, "encoding is 'raw_unicode_escape', unknown"),
        ({"csv": {"encoding": "utf-7"}}, "encoding is 'utf-7', unknown"),
        ({"csv": {"encoding": "zlib"}}, "encoding is 'zlib', unknown"),
        ({"csv": {"encoding": "undefined"}}, "encoding is 'undefined', unknown"),
        ({"csv": "tabs"}, "csv is missing. Write a mapping"),
        ({"nullTokens": [1]}, "Write a list of texts in quotes"),
        ({"headerCase": "lower"}, "headerCase is 'lower'. Write ignore"),
        ({"ignoredColumns": ["Dep Delay"]}, "say 'Dep Delay' more than once"),
        ({"ignoredColumns": ["dep delay"], "headerCase": "ignore"}, "say 'dep delay' more than once"),
        ({"ignoredColumns": ["note"], "csv": {"header": False}}, "cannot be told apart in files without a header"),
    ],
)
def test_a_mistake_is_named_with_its_place(form, properties, problem):
    with pytest.raises(ContractError, match=rf"flights.yaml: schema\[0\]\.customProperties.*{problem}"):
        form(**properties)
