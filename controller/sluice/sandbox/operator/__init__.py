"""A stand-in for the Seldon Core 1.17.1 operator, which cannot be had as a binary here.

It turns a SeldonDeployment into Deployments, Services, a VirtualService, DestinationRules, HPAs and
a status, and behaves as the real operator was recorded: the freeze of the VirtualService, the
reverts, the order of deletions, the wording of the webhook. What is knowingly different stands in
docs/seldon-stand-in.md.

    desired.py, pods.py, routing.py, names.py   pure: what should exist
    status.py, comparing.py, admission.py       pure: what to report, what differs, what to refuse
    reconciling.py                              one pass over one SeldonDeployment
    mirror.py, work.py, recorder.py             watches, queue, Events
    webhook.py, certificate.py                  the validating webhook

May import sluice.kube, sluice.errors and sluice.clock. `python -m sluice.sandbox.operator` runs it.
"""

from __future__ import annotations
