"""`spec.preflight`: what stable and candidate are asked before any traffic, and what came of it."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field, model_validator

from sluice.api.base import Duration, Model, StatusModel
from sluice.api.verdict import Verdict

MOST_EXAMPLES = 10
_LONGEST_TIMEOUT, _LONGEST_ANSWER = 3600.0, 600.0


class ConfigMapKey(Model):
    """One file of a ConfigMap in the rollout's namespace."""

    name: str = Field(min_length=1, max_length=253, description="The ConfigMap's name.")
    key: str = Field(
        default="requests.jsonl",
        min_length=1,
        max_length=253,
        pattern=r"^[-._a-zA-Z0-9]+$",
        description="The file in its `data`, or in its `binaryData`; gzip is unpacked.",
    )


class PreflightRequests(Model):
    """Where the requests are: JSON Lines, one request body a line, as a client would send it."""

    config_map: ConfigMapKey = Field(description="A ConfigMap that has them.")


class PreflightUndecided(StrEnum):
    """What follows where the answers neither agree nor differ enough. Nothing goes on by itself."""

    PAUSE = "Pause"
    ROLL_BACK = "RollBack"


class PreflightPerClass(Model):
    """Every class that the stable predicts is judged by itself too, lest a rare one is lost."""

    agreement: float = Field(
        default=0.9,
        gt=0.0,
        le=1.0,
        description="Share of a class's rows that must agree at least; 1: all that were sent.",
    )
    least_rows: int | None = Field(
        default=None,
        ge=1,
        description="A class with fewer rows is not waited for; harm in it still rolls back. "
        "Default: as many as it takes to show the agreement; 1 waits for every class.",
    )


class Preflight(Model):
    """The same requests to the stable and to the candidate, before the candidate has any traffic.

    Answers that differ are harm, as of a check of the policy: the candidate is taken out.
    """

    requests: PreflightRequests = Field(description="The requests that both are sent.")
    agreement: float = Field(
        default=0.99,
        gt=0.0,
        le=1.0,
        description="Share of the answers' rows that must agree at least; 1: all that were sent.",
    )
    distance: float | None = Field(
        default=None,
        ge=0.0,
        description="Numbers may be so far apart. Default: where there are labels, those count.",
    )
    per_class: PreflightPerClass | None = Field(
        default=None,
        description="Judge every class that the stable predicts, too. Default: only all rows "
        "together are judged.",
    )
    slower: float | None = Field(
        default=None,
        gt=0.0,
        description="Judge latency too: most requests may take the candidate so many times as "
        "long as the stable.",
    )
    examples: int = Field(
        default=3,
        ge=0,
        le=MOST_EXAMPLES,
        description="How many of the pairs that differ most the status keeps, with requests and "
        "answers; 0 keeps none of either.",
    )
    timeout: Duration = Field(default=300.0, description="For all requests together, at most 1h.")
    answer_timeout: Duration = Field(
        default=10.0, description="For one answer, at most 10m. None in time is a failure."
    )
    on_undecided: PreflightUndecided = Field(
        default=PreflightUndecided.PAUSE,
        description="Where too few requests were answered to tell: Pause, or RollBack.",
    )

    @model_validator(mode="after")
    def _sane(self) -> Preflight:
        if not 0 < self.timeout <= _LONGEST_TIMEOUT:
            raise ValueError("timeout must be above 0s and at most 1h")
        if not 0 < self.answer_timeout <= _LONGEST_ANSWER:
            raise ValueError("answerTimeout must be above 0s and at most 10m")
        return self


class PreflightState(StrEnum):
    """Only Passed, and Skipped by a command, let a rollout go on. Blocked: it could not be run."""

    RUNNING = "Running"
    BLOCKED = "Blocked"
    PASSED = "Passed"
    FAILED = "Failed"
    UNDECIDED = "Undecided"
    SKIPPED = "Skipped"
    CALLED_OFF = "CalledOff"

    @property
    def open(self) -> bool:
        """The rollout waits for it."""
        return self in (PreflightState.RUNNING, PreflightState.BLOCKED, PreflightState.UNDECIDED)


class PreflightCheck(StatusModel):
    """One check: the measured `share` of `counted`, its limits `low` and `high`, and `wanted`.

    `harm_only`: of a class with too few rows to show what is wanted; Passed did not wait for it.
    """

    name: str
    verdict: Verdict
    message: str = ""
    share: float | None = None
    low: float | None = None
    high: float | None = None
    wanted: float | None = None
    counted: int = 0
    harm_only: bool = False


class PreflightExample(StatusModel):
    """A pair that differs; `line` is the request's in its file. Texts are cut."""

    line: int
    why: str
    request: str
    stable: str
    candidate: str


class LabelMove(StatusModel):
    """So many rows have one label from the stable and another from the candidate."""

    stable: str
    candidate: str
    rows: int


class SideAnswers(StatusModel):
    """How one side answered: requests that failed, and latencies where both answered, ms."""

    failed: int = 0
    p50: float | None = None
    p95: float | None = None
    p99: float | None = None


class PreflightStatus(StatusModel):
    """The preflight of one pair of revisions. Times are RFC 3339.

    `question` names what is asked (the pair, the requests' place, what may differ), `attempt` how
    often that was tried, `reason` why it is Blocked or Undecided, `due_at` when it is tried again.
    `requests_hash` is the SHA-256 of the file that was sent. `passed_hash`: with these requests the
    same pair has passed in an earlier rollout, and is not asked them again.
    """

    state: PreflightState
    message: str = ""
    reason: str | None = None
    question: str
    revision: str
    stable: str
    attempt: int = 0
    verdict: Verdict | None = None
    requests: int | None = None
    rows: int | None = None
    agreeing: int | None = None
    checks: list[PreflightCheck] = Field(default_factory=list)
    moved: list[LabelMove] = Field(default_factory=list)
    answers: dict[str, SideAnswers] = Field(default_factory=dict)
    examples: list[PreflightExample] = Field(default_factory=list)
    requests_hash: str | None = None
    passed_hash: str | None = None
    started_at: str
    ended_at: str | None = None
    due_at: str | None = None

    def over(self) -> PreflightStatus:
        """As it stands when its rollout ends: what was still open is called off."""
        if not self.state.open:
            return self
        return self.model_copy(update={"state": PreflightState.CALLED_OFF, "due_at": None})

    def without_examples(self) -> PreflightStatus:
        """Without requests, answers and what labels became: numbers, and names of classes."""
        return self.model_copy(update={"examples": [], "moved": []})

    def in_short(self) -> PreflightStatus:
        """For what is kept long: what it came to."""
        return self.model_copy(update={"examples": [], "moved": [], "answers": {}, "checks": []})
