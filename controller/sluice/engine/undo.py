"""Going back: which revisions were the stable lately, and which templates are kept for `undo`."""

from __future__ import annotations

from sluice.api.status import Phase, RolloutStatus, StoredTemplate
from sluice.api.times import to_wire
from sluice.engine.draft import Draft


def returns_to_a_recent_stable(status: RolloutStatus, revision: str, revisions: int) -> bool:
    """Whether `revision` was replaced by one of the last `revisions` promotions, and is not bad.

    One that was rolled back since is not: it would skip the steps that found it out.
    """
    promoted = [entry for entry in status.history if entry.outcome == "Promoted"][:revisions]
    if revision not in {entry.replaced for entry in promoted}:
        return False
    newest = next((entry for entry in status.history if entry.revision == revision), None)
    return newest is None or newest.outcome != "RolledBack"


def keep_template(draft: Draft) -> None:
    """Note that the stable's template is to be kept, once it is the template's own revision.

    `sluice.loops.templates` stores what is new at the head of `status.templates`.
    """
    status, desired = draft.status, draft.inputs.desired
    limit = draft.inputs.rollout.spec.revision_history_limit
    if status.phase is not Phase.IDLE or status.stable is None or not limit:
        return
    if status.stable.revision != desired.revision:
        return
    kept = status.templates
    if kept and kept[0].revision == desired.revision:
        return
    # As the history counts: the rollout that made it the stable. The first version has none.
    number = (status.history[0].number or 0) if status.history else 0
    head = StoredTemplate(number=number, revision=desired.revision, at=to_wire(draft.now))
    others = [entry for entry in kept if entry.revision != desired.revision]
    # The present one beside as many as there are ended rollouts in the history.
    draft.set(templates=[head, *others][: limit + 1])
