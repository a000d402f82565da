"""The trace of a deployment and its spans, in the form of W3C Trace Context. All workers compute the same ids.

    its submission (a traceparent) ─────── deployment ──┬── step ──┬── delivery ── call to Fabric
                                                        │          └── delivery ── call to Fabric ...
                                                        └── step (compensated) ── ...

The ids of deployments and steps follow from the journal, so that all workers that move a step name the same span.
Only a delivery or a call, which is inside one process, gets a random id, from tracing.py.
"""

import hashlib
import re
from datetime import datetime
from typing import NamedTuple

TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-[0-9a-f]{2}")
"""The header of W3C Trace Context: version, trace, span, flags; neither id all zeros."""
TRACEPARENT_HINT = "must be a W3C traceparent: 00-<32 hex digits>-<16 hex digits>-01, lower case, not all zeros"


class TraceContext(NamedTuple):
    """A span: its trace, its own id, and the id of the span it is part of. It is a tuple because each call to Fabric
    creates one."""

    trace_id: str
    span_id: str
    parent_id: str = ""

    def child(self, span_id: str) -> "TraceContext":
        """Return a span that is part of this one."""
        return TraceContext(self.trace_id, span_id, self.span_id)

    @property
    def traceparent(self) -> str:
        """Return the header that a call from within this span carries."""
        return f"00-{self.trace_id}-{self.span_id}-01"


def parse(traceparent: str | None) -> TraceContext | None:
    """Return the span that a traceparent names; None if it is not valid."""
    found = TRACEPARENT.fullmatch(traceparent or "")
    return TraceContext(found[1], found[2]) if found else None


def root(deployment_id: str, accepted_at: datetime) -> TraceContext:
    """Return the root of the trace of a deployment that was submitted without one."""
    digest = _digest(deployment_id, accepted_at.isoformat())
    return TraceContext(digest[:32], digest[32:48])


def of_deployment(deployment_id: str, accepted_at: datetime, traceparent: str | None) -> TraceContext:
    """Return the span of a deployment, which is part of the span that submitted it."""
    outer = parse(traceparent) or root(deployment_id, accepted_at)
    return outer.child(_digest(outer.traceparent, deployment_id)[:16])


def of_step(deployment: TraceContext, ordinal: int, direction: str) -> TraceContext:
    """Return the span of a step in one direction, which is part of the deployment's span."""
    return deployment.child(_digest(deployment.traceparent, str(ordinal), direction)[:16])


def _digest(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode("utf-8", "surrogatepass")).hexdigest()
