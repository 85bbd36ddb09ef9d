"""Which columns a function can see, told from its text; where that is not plain, it may see them all."""

import pytest

from transformations.stores.computed.columns_read import columns_read


@pytest.mark.parametrize(
    ("body", "read"),
    [
        ('df["x"] = inputs["a"] / inputs["b"]', {"a", "b"}),
        ('df = pd.DataFrame(index=inputs.index)\n    df["x"] = inputs["a"]', {"a"}),
        ('df["x"] = inputs[["a", "b"]].sum(axis=1)', {"a", "b"}),
        ('df["x"] = [1.0] * len(inputs)', set()),
        ('def of(row):\n        return inputs["a"]\n    df["x"] = of(1)', {"a"}),
        ('inputs["x"] = inputs["a"] + 1', {"x", "a"}),
        ("df = inputs.copy()", None),
        ("df = inputs", None),
        ("df = helper(inputs)", None),
        ('df["x"] = inputs[name]', None),
        ('df["x"] = inputs[["a", name]]', None),
        ('df["x"] = inputs.a', None),
        ('df["x"] = inputs.iloc[:, 0]', None),
        ('df["x"] = inputs[inputs["a"] > 1]["a"]', None),
        ('df["x"] = locals()["inputs"]["b"]', None),
        ("return inputs", None),
        ("for column in inputs:\n        pass", None),
    ],
)
def test_only_columns_that_are_named_are_seen(body: str, read: set[str] | None) -> None:
    decorator = "@on_demand_feature_view(sources=[inputs], mode='pandas')"
    assert columns_read(f"{decorator}\ndef made(inputs: Any) -> Any:\n    {body}\n    return df\n") == read


@pytest.mark.parametrize("text", ["", "lambda inputs: inputs", "def broken(", "def two(a, b):\n    return a"])
def test_a_text_that_is_no_function_of_one_frame_tells_nothing(text: str) -> None:
    assert columns_read(text) is None


def test_a_method_s_text_may_be_indented() -> None:
    assert columns_read('    def made(inputs):\n        return inputs["a"]\n') == {"a"}


@pytest.mark.parametrize(
    ("body", "read"),
    [
        ('return {"x": [a + 1 for a in inputs["a"]]}', {"a"}),
        ('return {"x": [1.0] * len(inputs["a"])}', {"a"}),
        ('return {"x": [len(inputs)]}', None),
        ('return {"x": inputs.get("a")}', None),
        ('return {"x": [1 if "b" in inputs else 2 for _ in inputs["a"]]}', None),
        ("return {name: values for name, values in inputs.items()}", None),
    ],
)
def test_of_lists_by_name_only_those_that_are_named_are_seen(body: str, read: set[str] | None) -> None:
    assert columns_read(f"def made(inputs):\n    {body}\n", is_of_frame=False) == read
