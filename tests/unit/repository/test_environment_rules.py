"""The problems and warnings about the Spark compute and the packages of an environment."""

from typing import Any

import pytest

from shared.repository.environment_rules import CORES, MEMORY, check_compute, check_packages

ALLOCATION = {"enabled": True, "min_executors": 1, "max_executors": 1}


def compute(given: dict[str, Any]) -> tuple[dict[str, str], dict[str, str]]:
    problems, warnings = dict[str, str](), dict[str, str]()
    check_compute(given, problems.__setitem__, warnings.__setitem__)
    return problems, warnings


@pytest.mark.parametrize("cores", CORES)
def test_published_values_are_accepted(cores: int) -> None:
    given = {
        "driver_cores": cores,
        "executor_cores": cores,
        "driver_memory": MEMORY[0],
        "executor_memory": MEMORY[-1],
        "dynamic_executor_allocation": ALLOCATION,
        "spark_conf": [{"a": 1}],
        "runtime_version": 1.3,
        "instance_pool_id": "Starter Pool",
        "enable_native_execution_engine": False,
    }
    assert compute(given) == ({}, {})
    assert compute({**given, "spark_conf": {"spark.a": "b"}, "runtime_version": "1.3"}) == ({}, {})


@pytest.mark.parametrize(
    ("given", "name", "what"),
    [
        ({"driver_cores": 6}, "driver_cores", "one of 4, 8"),
        ({"executor_cores": True}, "executor_cores", "one of 4, 8"),
        ({"driver_memory": 28}, "driver_memory", "as 28g"),
        ({"driverCores": 4}, "driverCores", "Did you mean 'driver_cores'?"),
        ({"driver_core": 4}, "driver_core", "Did you mean 'driver_cores'?"),
        ({"dynamic_executor_allocation": True}, "dynamic_executor_allocation", "an object"),
        ({"dynamic_executor_allocation": {**ALLOCATION, "enabled": "yes"}}, ".enabled", "true or false"),
        ({"dynamic_executor_allocation": {**ALLOCATION, "min_executors": 0}}, ".min_executors", "at least 1"),
        ({"dynamic_executor_allocation": {**ALLOCATION, "min_executors": 2}}, ".min_executors", "must not exceed"),
        ({"spark_conf": ["a=b"]}, "spark_conf", "a mapping"),
        ({"runtime_version": [1]}, "runtime_version", "such as 1.3"),
    ],
)
def test_value_that_the_specification_excludes_is_a_problem(given: dict[str, Any], name: str, what: str) -> None:
    problems, warnings = compute(given)
    [(place, message)] = problems.items()
    assert place.endswith(name)
    assert what in message
    assert warnings == {}


@pytest.mark.parametrize("given", [{"driver_memory": "800g"}, {"new_setting": 1}])
def test_what_fabric_may_add_is_a_warning(given: dict[str, Any]) -> None:
    problems, warnings = compute(given)
    assert problems == {}
    assert warnings.keys() == given.keys()


def packages(*given: Any) -> list[tuple[int, str]]:
    found = list[tuple[int, str]]()
    check_packages(given, lambda i, what: found.append((i, what)))
    return found


def test_packages_as_pip_names_them_are_accepted() -> None:
    assert packages("pandas", "a.b_c==1!2.0+local", "dask[array, x]>=2, <3", "p~=1.4.*", "q != 1.0", "r===x") == []


@pytest.mark.parametrize("wrong", ["pandas=2.2", "pandas==", "pandas 2", "-e .", "", 7, None, "a; python_version>'3'"])
def test_package_that_pip_does_not_read_is_a_problem(wrong: Any) -> None:
    [(number, message)] = packages("polars", wrong)
    assert number == 1
    assert "is not a package" in message


def test_same_package_twice_is_a_problem() -> None:
    [(number, message)] = packages("Scikit_Learn==1.0", "numpy", "scikit-learn==2.0")
    assert number == 2
    assert "Scikit_Learn==1.0" in message
