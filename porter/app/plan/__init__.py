"""`porter plan`: what a change would do, decided on a copy of the present before anybody applies it."""

from porter.app.plan.answer import plan, plan_at
from porter.app.plan.changes import Changes, NotPlannable, read_changes
from porter.app.plan.versions import redecided

__all__ = ["Changes", "NotPlannable", "plan", "plan_at", "read_changes", "redecided"]
