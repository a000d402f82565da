"""The durations of calls and operations, in server seconds at scale 1.

Operations: quantiles of 436 recorded operations (createdTimeUtc to lastUpdatedTimeUtc; microsoft/fabric-cli).
Synchronous calls: means of the differences between the `Date` headers of consecutive recorded exchanges. The headers
have a resolution of one second and the differences contain the client's own time, so the means are upper bounds; the
spread around them (+- 25 %) is synthetic.
"""

import random
import re

QUANTILES: dict[str, tuple[float, float, float, float]] = {
    "create Notebook": (1.54, 2.03, 4.42, 4.42),
    "create SemanticModel": (10.85, 11.41, 239.14, 239.14),
    "create Warehouse": (9.10, 16.35, 21.66, 21.66),
    "create SQLDatabase": (16.85, 380.04, 394.4, 394.4),
    "create Eventstream": (4.19, 4.94, 5.06, 5.06),
    "create KQLDatabase": (6.91, 8.80, 8.80, 8.80),
    "create Report": (0.36, 0.58, 0.93, 0.93),
    "create MLModel": (0.61, 0.70, 4.02, 4.02),
    "create MLExperiment": (0.88, 1.09, 1.09, 1.09),
    "create Environment": (3.08, 3.39, 3.39, 3.39),
    "create UserDataFunction": (3.22, 4.20, 4.20, 4.20),
    "create DigitalTwinBuilder": (7.86, 11.16, 16.01, 16.01),
    "create CosmosDBDatabase": (7.37, 9.00, 16.07, 16.07),
    "create Lakehouse": (4.5, 5.0, 6.0, 6.0),
    "getDefinition": (0.37, 1.13, 38.93, 39.05),
    "getDefinition Notebook": (0.33, 0.78, 0.88, 0.88),
    "getDefinition CosmosDBDatabase": (0.8, 0.99, 0.99, 0.99),
    "getDefinition Environment": (0.21, 0.68, 0.68, 0.68),
    "getDefinition SemanticModel": (0.42, 0.44, 0.44, 0.44),
    "getDefinition Report": (0.22, 0.62, 0.62, 0.62),
    "getDefinition SQLDatabase": (28.94, 39.05, 39.05, 39.05),
    "publish Environment": (355.0, 400.0, 420.0, 420.0),
    "publish Environment without libraries": (0.84, 0.9, 1.0, 1.0),
    "job RunNotebook": (31.0, 40.5, 40.5, 40.5),
    "job Pipeline": (53.4, 53.4, 53.4, 53.4),
    "job sparkjob": (110.6, 110.6, 110.6, 110.6),
    "bulkExportDefinitions": (1.3, 1.51, 1.51, 1.51),
    "updateDefinition": (0.76, 2.42, 2.42, 2.42),
}
"""p50, p90, p99 and maximum seconds by operation; of getDefinition also by type, if five or more were recorded, because
databases take much longer than anything else. Of publishing an environment, one trace (355 s) and one recording
(0.84 s, no new library) exist; of jobs, four recordings; the spread around them is synthetic."""
ALL = (1.61, 11.34, 38.93, 394.4)
"""The same for all recorded operations; used for operations without a row."""

CALLS: tuple[tuple[str, float], ...] = (
    (r"POST /v1/workspaces", 7.4),
    (r"POST /v1/workspaces/[^/]+/lakehouses", 3.3),
    (r"POST /v1/workspaces/[^/]+/roleAssignments", 1.0),
    (r"POST /v1/workspaces/[^/]+/(items|notebooks)", 1.6),
    (r"POST .*/(getDefinition|updateDefinition)", 1.2),
    (r"POST .*", 2.0),
    (r"PATCH .*", 0.7),
    (r"DELETE .*", 0.73),
    (r"GET /v1/operations/.*", 0.3),
    (r"GET /v1/workspaces/[^/]+/roleAssignments.*", 0.27),
    (r"GET /v1/workspaces/[^/]+", 0.33),
    (r"GET .*", 0.67),
)
"""Mean seconds of a synchronous call; the first matching pattern counts."""
SQL_ENDPOINT_SECONDS = (4.0, 23.0, 9.5)
"""The earliest, the latest and the most likely time until a list shows a lakehouse's SQL endpoint (310 lists)."""
_POINTS = (0.0, 0.5, 0.9, 0.99, 1.0)


def operation_seconds(kind: str, chance: random.Random) -> float:
    """Draw a duration from the recorded quantiles, with linear interpolation between them."""
    p50, p90, p99, maximum = QUANTILES.get(kind) or QUANTILES.get(kind.partition(" ")[0], ALL)
    values = (p50 * 0.6, p50, p90, p99, maximum)
    at = chance.random()
    for i in range(4):
        if at <= _POINTS[i + 1]:
            share = (at - _POINTS[i]) / (_POINTS[i + 1] - _POINTS[i])
            return values[i] + share * (values[i + 1] - values[i])
    return maximum


def call_seconds(method: str, path: str, chance: random.Random) -> float:
    """Draw the server's seconds for a synchronous call."""
    text = f"{method} {path}"
    mean = next((seconds for pattern, seconds in CALLS if re.fullmatch(pattern, text)), 0.5)
    return mean * chance.uniform(0.75, 1.25)
