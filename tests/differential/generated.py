"""Hypothesis strategies: small repositories and parameter files, most of them valid, some wrong in one place."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from hypothesis import strategies as st

from shared.repository.model import ZERO_ID
from tests.differential import all_types

NOTEBOOK, PIPELINE, LAKEHOUSE = "Notebook/Load", "DataPipeline/Main", "Lakehouse/Lake"
ENVIRONMENTS = ("PROD", "DEV", "TEST")
DEV_ID = "dddddddd-0000-4000-8000-00000000000d"
ENV = {"SAGA_X": "from the environment"}

WORDS = (
    *("dev-server", "DEV-Server", "a.b", "x = 1", DEV_ID, DEV_ID.upper(), ZERO_ID, "é", "\\1", "$", "prod-server"),
    *(all_types.logical_id(LAKEHOUSE), all_types.logical_id(NOTEBOOK), f"0{all_types.logical_id(LAKEHOUSE)}"),
    *(
        f'workspaceId = "{ZERO_ID}"',
        f'"workspace" : "{ZERO_ID}"',
        f"workspaceId: '{ZERO_ID}'",
        "jdbc=old;",
        "key: value",
    ),
)
"""Words that the files contain and that the parameters look for."""

_line = st.lists(st.sampled_from(WORDS), min_size=0, max_size=3).map(" ".join)
texts = st.builds(
    lambda mark, lines, end: mark + end.join(lines),
    st.sampled_from(["", "", "", "\ufeff"]),
    st.lists(_line, max_size=6),
    st.sampled_from(["\n", "\r\n", "\r"]),
)
_scalars = st.one_of(st.sampled_from(WORDS), st.integers(-5, 5), st.booleans(), st.none())
_documents = st.fixed_dictionaries(
    {
        "server": _scalars,
        "list": st.lists(st.fixed_dictionaries({"name": st.sampled_from(["a", "b"]), "value": _scalars})),
    },
    optional={"deep": st.fixed_dictionaries({"server": _scalars}), "ü": _scalars},
)
jsons = st.builds(lambda data, indent: json.dumps(data, indent=indent), _documents, st.sampled_from([None, 2]))
yamls = st.builds(
    lambda data, head: head + yaml.dump(data, allow_unicode=True), _documents, st.sampled_from(["", "# c\n"])
)

_VARIABLES = (
    *("$items.Lakehouse.Lake.$id", "$items.Lakehouse.Lake.id", "$items.Lakehouse.Lake.$SqlEndpoint"),
    *("$items.Lakehouse.Lake.$sqlendpointid", "$workspace.id", "$workspace.$id", "$workspace.$name"),
    *("$workspace.$name_encoded", "$workspace.Shared.Data", "$workspace.Shared.Data.$id"),
    "$workspace.Shared.Data.$items.Lakehouse.Hub.$id",
)
WRONG_VARIABLES = (
    *("$items.Lakehouse.Lake", "$items.Lakehous.Lake.$id", "$items..Lake.$id", "$items.Lakehouse..$id", "$x"),
    *("$items.Lakehouse.Lake.$nothing", "$workspace.", "$workspace.$items.Lakehouse.Lake.$id", "$workspace.$other"),
    *("$workspace.Shared.Data.$name", "$workspace.X.$items.Lakehouse.Hub", "$ENV:SAGA_X", "$ENV:SAGA_MISSING", "$"),
)
_values = st.one_of(st.sampled_from(WORDS[:-1]).filter(lambda w: not w.startswith("$")), st.sampled_from(_VARIABLES))
_environments = st.sampled_from(["PROD", "DEV", "TEST", "_ALL_", "_all_", "prod"])


def _by_environment(values: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Return mappings of environments. `_ALL_` is mostly alone."""
    some = st.dictionaries(st.sampled_from(["PROD", "DEV", "TEST"]), values, min_size=1, max_size=3)
    return st.one_of(
        some, some, st.builds(lambda key, value: {key: value}, st.sampled_from(["_ALL_", "_All_"]), values)
    )


def _of_one_type(values: list[st.SearchStrategy[Any]]) -> st.SearchStrategy[dict[str, Any]]:
    return st.one_of([_by_environment(each) for each in values])


_filters: dict[str, st.SearchStrategy[Any]] = {
    "item_type": st.sampled_from(["Notebook", "DataPipeline", ["Notebook", "Environment"], "Nothing", None]),
    "item_name": st.sampled_from(["Load", "Main", ["Load", "Missing"], "", None]),
    "file_path": st.sampled_from(
        [
            *("**/*.py", "*.Notebook/*", "/Load.Notebook/notebook-content.py", "./Load.Notebook/notebook-content.py"),
            *("**\\*.json", ["no/such.py", "Main.DataPipeline/pipeline-content.json"], "Load.Notebook", "[ML]*/**"),
            *("**/.platform", "Load.Notebook/../Load.Notebook/notebook-content.py", "", "**", "a**b", "*/[-a]/*"),
            *("**/../*", "nothing*", ".//*.py", "**/extra.*", "*/", None),
        ]
    ),
}
_finds = st.one_of(
    st.fixed_dictionaries(
        {
            "find_value": st.sampled_from([word for word in WORDS if word != "$"]),
            "replace_value": _by_environment(_values),
        },
        optional={**_filters, "ignore_case": st.sampled_from(["true", "TRUE", "false", "", None])},
    ),
    st.fixed_dictionaries(
        {
            "find_value": st.sampled_from(
                [
                    r"(dev)-server",
                    r"jdbc=(\w+);",
                    r"x = (\d)",
                    r"(?i)(DEV)-server",
                    r"(?:a)\.(b)",
                    r"workspaceId = \"(.)",
                    "(é)",
                ]
            ),
            "replace_value": _by_environment(_values),
            "is_regex": st.sampled_from(["true", "True"]),
        },
        optional={**_filters, "ignore_case": st.sampled_from(["true", None])},
    ),
    st.fixed_dictionaries(
        {
            "find_value": st.sampled_from(["$workspace.id", "$workspace.Shared.Data"]),
            "replace_value": _by_environment(_values),
        }
    ),
)
_keys = st.fixed_dictionaries(
    {
        "find_key": st.sampled_from(
            [
                "$.server",
                "$.deep.server",
                "$..server",
                '$.list[?(@.name=="a")].value',
                "$.list[*].value",
                "$.missing",
                "$['ü']",
                "$",
            ]
        ),
        "replace_value": _of_one_type(
            [
                _values,
                st.integers(-9, 9),
                st.booleans(),
                st.lists(st.integers(0, 3)),
                st.just(1.5),
                st.just({"a": [None]}),
            ]
        ),
    },
    optional=_filters,
)
_pools = st.fixed_dictionaries(
    {
        "instance_pool_id": st.sampled_from(["pool-1", "pool-2"]),
        "replace_value": _by_environment(
            st.sampled_from([{"type": "Workspace", "name": "Big"}, {"type": "Capacity", "name": "Cap"}])
        ),
    },
    optional={"item_name": st.sampled_from(["Spark", "Other", "", ["Spark"], None])},
)


@st.composite
def parameter_files(draw: st.DrawFn) -> dict[str, Any]:
    """Return the content of a parameter.yml that is valid but for accidents of its combination."""
    content: dict[str, Any] = {}
    if draw(st.booleans()):
        content["find_replace"] = draw(st.lists(_finds, max_size=4))
    if draw(st.booleans()) or not content:
        content["key_value_replace"] = draw(st.lists(_keys, max_size=3))
    if draw(st.booleans()):
        content["spark_pool"] = draw(st.lists(_pools, max_size=2))
    return content


_WRONG: tuple[Any, ...] = (
    None,
    "",
    0,
    7,
    True,
    [],
    {},
    ["x"],
    {"PROD": ""},
    {"PROD": None},
    {"PROD": 3},
    {"PROD": "x", "DEV": 1},
)
_wrong_values = st.one_of(
    st.sampled_from(_WRONG),
    st.sampled_from(WRONG_VARIABLES),
    st.sampled_from(WRONG_VARIABLES).map(lambda text: {"PROD": text}),
    st.sampled_from(["(", "no group", "(a)(b)", "server", "$..[", "$.a =~ 'b'", "true"]),
    st.just({"_ALL_": "x", "PROD": "y"}),
    st.just({"PROD": {"type": "Small", "name": "Big"}}),
)


@st.composite
def broken_files(draw: st.DrawFn) -> dict[str, Any]:
    """Return the content of a parameter.yml in which one value or key was exchanged."""
    content = draw(parameter_files())
    sections = [name for name, rows in content.items() if rows]
    if not sections or draw(st.integers(0, 5)) == 0:
        content[draw(st.sampled_from(["find_replace", "extend", "spark_pool_replace", "unknown", "spark_pool"]))] = (
            draw(_wrong_values)
        )
        return content
    entry = draw(st.sampled_from(content[draw(st.sampled_from(sections))]))
    key = draw(st.sampled_from([*entry, "is_regex", "ignore_case", "item_type", "extra"]))
    if draw(st.booleans()):
        entry[key] = draw(_wrong_values)
    else:
        entry.pop(key, None)
    return content


@dataclass(frozen=True)
class Files:
    """The generated contents of the items."""

    notebook: str
    extra: str
    pipeline: str
    library: str
    settings: str
    parameters: dict[str, Any]

    def write(self, root: Path) -> None:
        """Write the repository."""
        all_types.item(root, "Lake.Lakehouse", "Lakehouse", "Lake", {"lakehouse.metadata.json": "{}"})
        all_types.item(
            root, "Load.Notebook", "Notebook", "Load", {"notebook-content.py": self.notebook, "extra.txt": self.extra}
        )
        all_types.item(root, "Main.DataPipeline", "DataPipeline", "Main", {"pipeline-content.json": self.pipeline})
        library = {"variables.json": self.library, "settings.json": '{"valueSetsOrder": []}'}
        all_types.item(root, "Vars.VariableLibrary", "VariableLibrary", "Vars", library)
        all_types.item(
            root, "sub/Spark.Environment", "Environment", "Spark", {"Setting/Sparkcompute.yml": self.settings}
        )
        all_types.write(root / "parameter.yml", yaml.dump(self.parameters, allow_unicode=True, sort_keys=False))


_settings = st.builds(
    lambda pool, more: yaml.dump({"instance_pool_id": pool, **more}),
    st.sampled_from(["pool-1", "pool-2", None]),
    st.sampled_from([{}, {"driver_cores": 8, "a": "é"}]),
)
repositories = st.builds(Files, texts, st.one_of(texts, jsons, yamls), jsons, jsons, _settings, parameter_files())
broken_repositories = st.builds(
    Files, st.just("x = 1\n"), st.just("dev-server"), jsons, st.just("{}"), _settings, broken_files()
)
