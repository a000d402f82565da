"""Each rule of parameter.yml alone, beside fabric-cicd 1.4.0: the same verdict, and the same bytes if it accepts."""

from pathlib import Path

import pytest

from shared.repository.model import ZERO_ID
from tests.differential import all_types, compare, peer

NOTEBOOK = f'a = "old"; b = "OLD"; c = "old-1"\nworkspaceId = "{ZERO_ID}"\nworkspace = "{peer.OTHER_WORKSPACE_ID}"\n'
PIPELINE = '{"properties": {"name": "old", "n": 1, "list": [{"k": "a", "v": 1}, {"k": "b", "v": 2}]}}'


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("rules")
    files: dict[str, str | bytes] = {"notebook-content.py": NOTEBOOK, "Resources/x.txt": "old [1]"}
    all_types.item(directory, "Code/Load.v1.Notebook", "Notebook", "Load.v1", files)
    all_types.item(directory, "Main.DataPipeline", "DataPipeline", "Main", {"pipeline-content.json": PIPELINE})
    all_types.item(directory, "Lake.Lakehouse", "Lakehouse", "Lake.Raw", {"lakehouse.metadata.json": "{}"})
    all_types.item(
        directory, "Spark.Environment", "Environment", "Spark", {"Setting/Sparkcompute.yml": "instance_pool_id: p\n"}
    )
    return directory


def find(value: str, rest: str = "", replace: str = "{PROD: new}") -> str:
    return f"find_replace:\n- find_value: {value}\n  replace_value: {replace}\n{rest}"


def key(value: str, rest: str = "", replace: str = "{PROD: new}") -> str:
    return f"key_value_replace:\n- find_key: {value}\n  replace_value: {replace}\n{rest}"


def pool(replace: str, rest: str = "") -> str:
    return f"spark_pool:\n- instance_pool_id: p\n  replace_value: {replace}\n{rest}"


BIG, CAP = "{type: Workspace, name: Big}", "{type: Capacity, name: Cap}"
GUID = "11111111-2222-4333-8444-555555555555"

ACCEPTED = {
    "3 keys differ": find("old", replace="{PROD: a, PPE: b}"),
    "4 gateway": find("old") + f"gateway_binding:\n- gateway_id: {GUID}\n  dataset_name: m\n",
    "5 mapping": f"semantic_model_binding:\n  default:\n    connection_id: {{PROD: {GUID}}}\n",
    "8 no environment": find("old", replace="{DEV: new}"),
    "8 exact case": find("old", replace="{prod: new}"),
    "9 all": find("old", replace="{_ALL_: new}"),
    "9 all in any case": find("old", replace="{_aLl_: new}"),
    "9 ALL is ordinary": find("old", replace="{ALL: x, PROD: new}"),
    "10 optional null": find("old", "  is_regex:\n  item_type: null\n  file_path: null\n"),
    "11 is_regex in any case": find("'(old)'", "  is_regex: 'TRUE'\n"),
    "11 other text is false": find("'(old)'", "  is_regex: 'yes'\n"),
    "12 literal": find("old"),
    "12 ignore case": find("oLd", "  ignore_case: 'True'\n"),
    "12 special letters": find("'[1]'", "  ignore_case: 'true'\n"),
    "13 group": find("'a = \"(\\w+)\"'", "  is_regex: 'true'\n"),
    "13 every match": find("'(old)'", "  is_regex: 'true'\n  ignore_case: 'true'\n"),
    "13 literal value": find("'a = \"(old)\"'", "  is_regex: 'true'\n", "{PROD: '\\1\\g<0>'}"),
    "15 find workspace": find("$workspace.Shared.Data"),
    "16 chain": find("old") + "- find_value: new\n  replace_value: {PROD: newer}\n",
    "17 filter": key("'$.properties.list[?(@.k==\"b\")].v'", replace="{PROD: 3}"),
    "17 descendants": key("$..v", replace="{PROD: [1, {a: null}]}"),
    "17 variable": key("$.properties.name", replace="{PROD: $workspace.$id}"),
    "17 empty text": key("$.properties.name", replace="{PROD: ''}"),
    "18 no match": key("$.missing"),
    "18 no environment": key("$.properties.name", replace="{DEV: x}"),
    "19 before find": find("old") + key("$.properties.name", replace="{PROD: 'old again'}"),
    "19 null value there": key("$.properties.n", replace="{PROD: 0}"),
    "20 type": find("old", "  item_type: Notebook\n"),
    "20 list": find("old", "  item_type: [Notebook, Lakehouse]\n"),
    "20 exact": find("old", "  item_type: notebook\n"),
    "20 name": find("old", "  item_name: [Main, Nothing]\n"),
    "20 anded": find("old", "  item_name: Main\n  item_type: Notebook\n"),
    "20 empty name": find("old", "  item_name: ''\n"),
    "20 empty list": find("old", "  item_name: []\n"),
    "20 empty path": find("old", "  file_path: ''\n"),
    "21 path": find("old", "  file_path: Main.DataPipeline/pipeline-content.json\n"),
    "21 slash": find("old", "  file_path: /Main.DataPipeline/pipeline-content.json\n"),
    "21 dots": find("old", "  file_path: Code/../Main.DataPipeline/pipeline-content.json\n"),
    "21 directory": find("old", "  file_path: Main.DataPipeline\n"),
    "21 outside": find("old", "  file_path: ../x.py\n"),
    "22 any depth": find("old", "  file_path: '**/*.py'\n"),
    "22 one level": find("old", "  file_path: '*/*.json'\n"),
    "22 backslashes": find("old", "  file_path: '**\\*.txt'\n"),
    "22 class": find("old", "  file_path: '[!C]*/*.json'\n"),
    "22 question": find("old", "  file_path: 'Code/Load.v?.Notebook/**'\n"),
    "22 absolute recursive": find("old", "  file_path: '/**/x.py'\n"),
    "22 doubled": find("old", "  file_path: '**/**/x.py'\n"),
    "22 star inside": find("old", "  file_path: '**.py'\n"),
    "22 traversal": find("old", "  file_path: '../*.py'\n"),
    "22 brackets": find("old", "  file_path: '[*.py'\n"),
    "22 class with dash": find("old", "  file_path: '[-a]*/*.json'\n"),
    "22 nothing": find("old", "  file_path: 'nothing*'\n"),
    "24 id": find("old", replace="{PROD: $workspace.id}"),
    "24 name": find("old", replace="{PROD: $workspace.$name}"),
    "24 encoded": find("old", replace="{PROD: $workspace.$name_encoded}"),
    "24 other": find("old", replace="{PROD: $workspace.Shared.Data}"),
    "24 other id": find("old", replace="{PROD: $workspace.Shared.Data.$id}"),
    "24 other item": find("old", replace="{PROD: $workspace.Shared.Data.$items.Lakehouse.Hub.$id}"),
    "25 name with a dot": find("old", replace="{PROD: $items.Lakehouse.Lake.Raw.$id}"),
    "25 legacy": find("old", replace="{PROD: $items.Lakehouse.Lake.Raw.id}"),
    "25 attribute in any case": find("old", replace="{PROD: $items.Lakehouse.Lake.Raw.$SqlEndpoint}"),
    "26 not needed": find("nowhere", replace="{PROD: $items.Lakehouse.Missing.$id}"),
    "27 pool": pool(f"{{PROD: {BIG}}}"),
    "27 all": pool(f"{{_ALL_: {BIG}}}"),
    "27 other item": pool(f"{{DEV: {BIG}}}", "  item_name: Other\n"),
    "27 empty name": pool(f"{{PROD: {BIG}}}", "  item_name: ''\n"),
    "27 first": pool(f"{{PROD: {BIG}}}") + f"- instance_pool_id: p\n  replace_value: {{PROD: {CAP}}}\n",
    "28 list": f"semantic_model_binding:\n- connection_id: {GUID}\n  semantic_model_name: [a, b]\n",
    "28 models": f"semantic_model_binding: {{models: [{{semantic_model_name: a, connection_id: {{P: {GUID}}}}}]}}\n",
    "28 unknown key of a model": (
        "semantic_model_binding: {models: "
        f"[{{semantic_model_name: a, connection_id: {{P: {GUID}}}, x: 1}}], "
        f"default: {{connection_id: {{P: {GUID}}}, x: 1}}}}\n"
    ),
    "28 unknown key of a gateway": f"gateway_binding:\n- gateway_id: {GUID}\n  dataset_name: m\n  x: 1\n",
}

REFUSED = {
    "2 empty": "",
    "2 comments": "# x\n",
    "2 broken": "find_replace: [\n",
    "2 list": "- x\n",
    "3 twice": find("old", "  find_value: x\n"),
    "3 case": find("old", replace="{PPE: a, ppe: b}"),
    "3 deep": key("$.a", replace="{PROD: {x: 1, X: 2}}"),
    "4 unknown": find("old") + "other: []\n",
    "4 empty extend": find("old") + "extend: []\n",
    "5 not a list": "find_replace: {}\n",
    "5 null": "find_replace:\n",
    "7 variable": find("old", replace="{PROD: $ENV:X}"),
    "7 of another environment": find("old", replace="{PROD: a, DEV: $ENV:X}"),
    "9 all and another": find("old", replace="{_ALL_: a, PROD: b}"),
    "10 missing": "find_replace:\n- find_value: x\n",
    "10 unknown": find("old", "  extra: x\n"),
    "10 empty": find("''"),
    "10 number": find("5"),
    "10 empty value": find("old", replace="{PROD: ''}"),
    "10 number value": find("old", replace="{PROD: 5}"),
    "10 value of another environment": find("old", replace="{PROD: a, DEV: 5}"),
    "11 boolean": find("'(old)'", "  is_regex: true\n"),
    "11 ignore_case boolean": find("old", "  ignore_case: false\n"),
    "13 not a regex": find("'('", "  is_regex: 'true'\n"),
    "14 workspace regex": find("$workspace.(x)", "  is_regex: 'true'\n"),
    "15 items": find("$items.Lakehouse.Lake.Raw.$id"),
    "17 relative": key("properties.name"),
    "17 grammar": key("'$.a[?(@.b=~\"c\")]'").replace("=~", "~~"),
    "17 types": key("$.a", replace="{A: 1, B: 1.5}"),
    "17 boolean and text": key("$.a", replace="{A: true, B: x}"),
    "17 null": key("$.a", replace="{A: null}"),
    "20 number": find("old", "  item_type: 5\n"),
    "24 unknown": find("old", replace="{PROD: $workspace.$other}"),
    "24 other attribute": find("old", replace="{PROD: $workspace.Shared.$name}"),
    "25 no attribute": find("old", replace="{PROD: $items.Lakehouse.Lake}"),
    "25 type": find("old", replace="{PROD: $items.Lakehous.Lake.$id}"),
    "25 attribute": find("old", replace="{PROD: $items.Lakehouse.Lake.$other}"),
    "25 other dollar": find("old", replace="{PROD: $x}"),
    "25 of another environment": find("old", replace="{PROD: a, DEV: $x}"),
    "27 keys": pool("{PROD: {type: Workspace}}"),
    "27 type": pool("{PROD: {type: Small, name: x}}"),
    "27 extra": pool(f"{{PROD: {BIG}}}", "  item_type: Environment\n"),
    "28 empty models": "semantic_model_binding: {models: []}\n",
    "28 no guid": "semantic_model_binding:\n- connection_id: x\n  semantic_model_name: a\n",
    "28 mixed": f"semantic_model_binding: {{default: {{connection_id: {{PROD: {GUID}}}}}, connection_id: x}}\n",
}

STRICTER = {
    "4 accident": find("old") + "spark_pool_replace_value: []\n",
    "6 missing template": find("old") + "extend: [no.yml]\n",
    "6 text": find("old") + "extend: no.yml\n",
    "13 two groups": find("'(o)(l)d'", "  is_regex: 'true'\n"),
    "13 no group": find("'old'", "  is_regex: 'true'\n"),
    "14 dollar": find("'$(x)'", "  is_regex: 'true'\n"),
    "15 dollar": find("$old"),
    "21 backslashes": find("old", "  file_path: Main.DataPipeline\\pipeline-content.json\n"),
    "22 braces": find("old", "  file_path: '*.{py,json}'\n"),
    "27 no environment": pool(f"{{DEV: {BIG}}}"),
}
"""fabric-cicd accepts these, and then fails while it publishes, or does nothing without a message (ADR 29)."""


def problems_of(root: Path, text: str) -> list[str]:
    all_types.write(root / "parameter.yml", text)
    return compare.ours(root, "PROD").problems


@pytest.mark.parametrize("text", ACCEPTED.values(), ids=ACCEPTED.keys())
def test_rule_is_accepted_with_the_bytes_of_fabric_cicd(root: Path, text: str) -> None:
    assert problems_of(root, text) == []
    assert compare.compared(root, "PROD").differing == []


@pytest.mark.parametrize("text", REFUSED.values(), ids=REFUSED.keys())
def test_rule_is_refused_as_by_fabric_cicd(root: Path, text: str) -> None:
    assert any("parameter.yml" in each for each in problems_of(root, text))
    assert not peer.accepts(root, "PROD")


@pytest.mark.parametrize("text", STRICTER.values(), ids=STRICTER.keys())
def test_accident_is_a_problem_before_anything_is_sent(root: Path, text: str) -> None:
    assert problems_of(root, text) != []
    assert peer.accepts(root, "PROD")


def test_missing_file_and_missing_item_are_found_where_fabric_cicd_finds_them(root: Path) -> None:
    """Rule 1: a missing file is not a problem. Rules 13 and 26: a rule that depends on the content fails at its
    part."""
    (root / "parameter.yml").unlink(missing_ok=True)
    assert compare.compared(root, "PROD").differing == []
    empty_group = find("'a()'", "  is_regex: 'true'\n")
    assert problems_of(root, empty_group) != []
    with pytest.raises(peer.RefusedError):
        peer.send(root, "PROD")
    missing = find("old", replace="{PROD: $items.Lakehouse.Missing.$id}")
    assert problems_of(root, missing) == []
    with pytest.raises(peer.RefusedError, match="Missing"):
        peer.send(root, "PROD")
    found = compare.ours(root, "PROD").analysis
    assert found is not None
    assert {str(use.ref) for use in found.uses} == {"$items.Lakehouse.Missing.$id", "$workspace.$id"}


def test_environment_variables_are_replaced_only_with_the_feature(root: Path) -> None:
    """Rule 7: the text of the file is changed, templates too; an unset variable of the environment is a problem."""
    all_types.write(root / "parameter.yml", find("old", replace="{PROD: 'x$ENV:SAGA_NAME-y'}"))
    assert compare.compared(root, "PROD", {"SAGA_NAME": "value"}).differing == []
    all_types.write(root / "parameter.yml", find("old", replace="{PROD: $ENV:SAGA_UNSET}"))
    assert not peer.accepts(root, "PROD", env={"SAGA_NAME": "value"})
    assert compare.ours(root, "PROD", {"SAGA_NAME": "value"}).problems != []
