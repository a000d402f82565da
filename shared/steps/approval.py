"""Kind `approval`: a person decides whether the deployment continues. saga/step/approvals.py waits for the decision."""

from shared.domain.approval import APPROVAL, SEPARATION
from shared.domain.fields import Fields, Words
from shared.steps.elsewhere import ElsewhereKind

DEFAULTS = ("reject", "approve")


class ApprovalKind(ElsewhereKind):
    """Wait for a person. There is nothing to compensate."""

    name = APPROVAL
    about = "Waits for a person; makes no call to Fabric."
    outputs = frozenset({"approvedBy", "reason"})

    def check(self, spec: Fields) -> None:
        spec.text(
            "message",
            required=True,
            maximum=1000,
            refers=True,
            words=Words("The question.", "Silver is loaded. Replace gold?"),
        )
        approvers = spec.texts(
            "approvers",
            refers=True,
            words=Words(
                "Who may decide: object ids of users, groups and service principals, which are checked if sign-in is "
                "configured; without sign-in any texts, which are shown and not checked.",
                ["data platform team"],
            ),
        )
        for i, approver in enumerate(approvers):
            if not approver.strip() or len(approver) > 256:
                spec.problem("approvers", f"entry {i} must have 1 to 256 characters")
        default = spec.choice(
            "default", DEFAULTS, words=Words("The decision when the step's timeout is over.", "reject")
        )
        is_separate = spec.boolean(
            SEPARATION,
            words=Words("The requester of the deployment may not approve. It needs sign-in to be configured.", True),
        )
        if is_separate and default == "approve":
            spec.problem("default", "must be reject, because separationOfDuties requires another person's approval")
