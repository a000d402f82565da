"""The names of the activities: function_app.py registers them, and the orchestrator calls them."""

BEGIN_DEPLOYMENT = "begin_deployment"
DISPATCH_STEPS = "dispatch_steps"
RECORD_FAILURE = "record_failure"
BEGIN_COMPENSATION = "begin_compensation"
RECONCILE_DEPLOYMENT = "reconcile_deployment"
FINISH_DEPLOYMENT = "finish_deployment"
