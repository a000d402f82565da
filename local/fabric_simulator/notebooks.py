"""Notebooks in Fabric's two formats: the source file, and Jupyter's `ipynb`.

Source: 16 recorded notebooks that were sent as `notebook-content.py` and read as `ipynb`. They do not show
other kernels and languages, Markdown cells, and the conversion to source; these are synthetic.
"""

import json
import re
from typing import Any, cast

from local.fabric_simulator.http import as_object

_MARK = re.compile(r"^(#|--|//) (METADATA|CELL|MARKDOWN|PARAMETERS CELL) \*+$", re.MULTILINE)
_STARS = "*" * 20


def to_ipynb(source: str) -> str:
    """Return a source file as `ipynb`. Text without Fabric's marks is one cell."""
    blocks = _blocks(source)
    header: dict[str, Any] = _meta(blocks[0][1]) if blocks and blocks[0][0] == "METADATA" else {}
    cells: list[dict[str, Any]] = []
    for word, text in blocks[1:] if header else blocks:
        if word == "METADATA" and cells:
            cells[-1]["metadata"] = {**cells[-1]["metadata"], "microsoft": _meta(text)}
        elif word != "METADATA":
            cells.append(_cell(word, text))
    kernel = as_object(header.get("kernel_info")) or {"name": "synapse_pyspark"}
    metadata: dict[str, Any] = {
        "language_info": {"name": "python"},
        "kernel_info": {"name": kernel.get("name"), "jupyter_kernel_name": kernel.get("jupyter_kernel_name")},
        "a365ComputeOptions": None,
        "sessionKeepAliveTimeout": 0,
        "dependencies": {"lakehouse": None, **as_object(header.get("dependencies"))},
    }
    notebook: dict[str, Any] = {"nbformat": 4, "nbformat_minor": 5, "metadata": metadata, "cells": cells}
    return json.dumps(notebook, separators=(",", ":"), ensure_ascii=False)


def is_ipynb(text: str) -> bool:
    """Return True if the text is JSON with a list of cells."""
    cells = as_object(json.loads(text)).get("cells")
    return isinstance(cells, list) and all(isinstance(cell, dict) for cell in cast(list[Any], cells))


def to_source(ipynb: str) -> str:
    """Return an `ipynb` as a source file."""
    notebook: dict[str, Any] = json.loads(ipynb)
    metadata = as_object(notebook.get("metadata"))
    kernel = as_object(metadata.get("kernel_info")).get("name") or "synapse_pyspark"
    dependencies = {k: v for k, v in as_object(metadata.get("dependencies")).items() if v is not None}
    lines = [
        "# Fabric notebook source",
        "",
        *_meta_lines({"kernel_info": {"name": kernel}, "dependencies": dependencies}),
    ]
    for cell in notebook.get("cells", []):
        raw: Any = cell.get("source", "")
        text = raw if isinstance(raw, str) else "".join(str(line) for line in raw or ())
        is_markdown = cell.get("cell_type") == "markdown"
        lines += [f"# {'MARKDOWN' if is_markdown else 'CELL'} {_STARS}", ""]
        lines += [f"# {line}".rstrip() if is_markdown else line for line in text.split("\n")]
        own = as_object(as_object(cell.get("metadata")).get("microsoft"))
        lines += ["", *([] if is_markdown else _meta_lines(own or _DEFAULT))]
    return "\n".join(lines)


_DEFAULT = {"language": "python", "language_group": "synapse_pyspark"}


def _blocks(source: str) -> list[tuple[str, str]]:
    text = source.replace("\r\n", "\n")
    marks = list(_MARK.finditer(text))
    if not marks:
        return [("CELL", text)]
    ends = [m.start() for m in marks[1:]] + [len(text)]
    return [(m[2], text[m.end() : end]) for m, end in zip(marks, ends, strict=True)]


def _meta(text: str) -> dict[str, Any]:
    lines = [re.sub(r"^(#|--|//) META ?", "", line) for line in text.strip().split("\n")]
    try:
        return as_object(json.loads("\n".join(lines)))
    except ValueError:
        return {}


def _cell(word: str, text: str) -> dict[str, Any]:
    lines = text.removeprefix("\n\n").removesuffix("\n").removesuffix("\n").splitlines(keepends=True)
    if word == "MARKDOWN":
        lines = [re.sub(r"^(#|--|//) ?", "", line) for line in lines]
        return {"cell_type": "markdown", "metadata": {}, "source": lines}
    tags = {"tags": ["parameters"]} if word == "PARAMETERS CELL" else {}
    return {"cell_type": "code", "metadata": {**tags, "microsoft": _DEFAULT}, "source": lines, "outputs": []}


def _meta_lines(value: dict[str, Any]) -> list[str]:
    shown = [f"# META {line}" for line in json.dumps(value, indent=2, ensure_ascii=False).split("\n")]
    return [f"# METADATA {_STARS}", "", *shown, ""]
