"""Write down what the gate does, and count what it has to count. The only writer of `action.*` entries."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from standpipe.actions import Action, Done, Returned
from standpipe.clock import Clock
from standpipe.errors import GivenBackError, StaleError
from standpipe.governor.fingerprint import Fingerprints, fingerprints
from standpipe.governor.recovery import Escalate, Recovery, Refresh, Wait, recover
from standpipe.governor.sites import host_site
from standpipe.journal import drafts
from standpipe.journal.denials import Denials
from standpipe.journal.doubts import Doubts
from standpipe.journal.entries import (
    AnswerGiven,
    BlockedRaised,
    Decided,
    Draft,
    Entry,
    Intended,
    ModelFailed,
    ModelRefused,
    Settled,
)
from standpipe.journal.failures import skips
from standpipe.journal.journal import Journal
from standpipe.journal.outlook import Outlook
from standpipe.journal.questions import new_blocker, raised
from standpipe.journal.recoveries import Recoveries
from standpipe.journal.refusals import View
from standpipe.journal.renewals import Renew, renewed
from standpipe.journal.store import Seen
from standpipe.journal.views import (
    Decide,
    LeaveOut,
    Reconcile,
    Repeat,
    Step,
    Tell,
    alternate_of,
    answers,
    attempts,
    next_step,
    open_blockers,
    outcome_of,
    standing,
    tried_again_at,
)
from standpipe.outcomes.outcome import Failed, Kind, Outcome, Phase, Unknown
from standpipe.policy.arguments import Complaint
from standpipe.policy.decision import Allow, Ask, Decision, Deny
from standpipe.policy.rulebook import Rule, decide
from standpipe.policy.situation import Refusal

Prepare = Callable[[Action], Awaitable[str]]


async def _always() -> bool:
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One run's record, with what its governor needs to know."""

    journal: Journal
    outlook: Outlook
    clock: Clock
    jitter: Callable[[], float]
    same_way: int = 2
    wait_seconds_max: float = 30.0
    still_ours: Callable[[], Awaitable[bool]] = _always
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    renewing: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def recoveries(self) -> Recoveries:
        """Return what chooses recoveries with the facts of this run."""
        return Recoveries(
            journal=self.journal,
            refusals=self.outlook.refusals,
            clock=self.clock,
            jitter=self.jitter,
            same_way=self.same_way,
            wait_seconds_max=self.wait_seconds_max,
        )

    @property
    def doubts(self) -> Doubts:
        """Return what writes down how an attempt nobody saw the end of is cleared up."""
        return Doubts(journal=self.journal, clock=self.clock)

    @property
    def denials(self) -> Denials:
        """Return what writes down and counts what may not happen."""
        return Denials(journal=self.journal, clock=self.clock)

    def next(self, action: Action) -> Step:
        """Return what may happen next with `action`."""
        given = answers(self.journal.of(AnswerGiven))
        story = self.journal.story(action.id)
        if story and isinstance(story[-1].body, Settled) and (by := self._left_out(action, given)):
            return LeaveOut(by)
        step = next_step(action, story, given)
        return Decide() if step == Tell() and self._stood_in_the_way(story) else step

    def key(self, action: Action) -> str:
        """Return the idempotency key of `action`: the one written down, once it was tried.

        A newer version may derive another one, and the other side knows only the first.
        """
        for entry in self.journal.story(action.id):
            if isinstance(entry.body, Intended):
                return entry.body.idempotency_key
        return drafts.idempotency_key(action, run=self.journal.entries[0].hash)

    def told(self, action: Action) -> Outcome:
        """Return what became of `action`."""
        return outcome_of(self.journal.story(action.id))

    def decision(self, action: Action) -> Decision:
        """Return what stands for `action`; what is over may not happen again."""
        decision = standing(self.journal.story(action.id))
        if decision is None or isinstance(decision, Allow):
            return Deny("told", "it was tried before; the journal has the outcome")
        return decision

    async def decide(
        self, action: Action, step: Decide, rules: Sequence[Rule], prepare: Prepare
    ) -> Step:
        """Ask the rules, or read the human's answer; write down what was decided, and the intent with it.

        Calls of one response are decided one after the other, in its order: the second sees the first.
        Decision and intent are one transaction, so a call that may happen at once costs two commits.
        """
        async with self.turn:
            said = [] if self.journal.story(action.id) else [drafts.proposed(action)]
            refusals = self.outlook.refusals
            view = await refusals.view(action)
            decision, decided = await self._decision(action, step, rules, view)
            waits = view.pause_seconds > 0
            if not isinstance(decision, Allow) or waits or not await refusals.claim(action, view):
                await self.journal.append(*said, *decided)
                return self.next(action)
            attempt = attempts(self.journal.story(action.id)) + 1
            intended = self._intended(action, attempt, tree=await prepare(action))
            await self.journal.append(*said, *decided, intended)
            return Repeat(attempt)

    async def go_on(self) -> None:
        """Begin with nothing that this process may not bring to its end.

        Raises:
            GivenBackError: the run is given back.
        """
        if not await self.still_ours():
            raise GivenBackError("the run is given back", hint="whoever takes it goes on with it")

    async def may_start(self, action: Action) -> bool:
        """Wait as long as the other side asked for; refuse what has become known since it was decided."""
        if not await self.hold_off(action):
            return False
        refusals = self.outlook.refusals
        view = await refusals.view(action)
        refusal = self.outlook.cancelled() or await refusals.of(action, view)
        if refusal is None or refusal.asks:  # then a person has said yes to it
            if await refusals.claim(action, view):
                return True
            refusal = await refusals.of(action, await refusals.view(action))
        if refusal is None:  # somebody else was faster, and is through already
            return False
        story = self.journal.story(action.id)
        if _is_unknown(story[-1]):  # a refusal would say that it did not happen
            await self.doubts.doubt(action, attempts(story))
            return False
        number = 1 + sum(isinstance(entry.body, Decided) for entry in story)
        deny = Deny(refusal.rule, refusal.reason)
        await self.journal.append(*await self.denials.written(action, deny, number, refusal))
        return False

    async def intend(self, action: Action, attempt: int, *, tree: str) -> None:
        """Write the intent; once this returns, the effect may start."""
        await self.journal.append(self._intended(action, attempt, tree=tree))

    async def paused(self) -> Mapping[str, float]:
        """Return the hosts that nobody of this home may ask now, with the seconds left."""
        return await self.outlook.refusals.paused()

    async def refresh_if_owed(self, action: Action, renew: Renew) -> None:
        """Renew the credential where that was chosen; a killed process leaves it to the next one."""
        last = self.journal.story(action.id)[-1].body
        if isinstance(last, Settled) and isinstance(last.recovery, Refresh):
            async with self.renewing:
                await renewed(self.journal, self.recoveries, action, renew, await self.paused())

    async def reject(self, action: Action, wrong: Complaint) -> Recovery:
        """Write down a call whose arguments its tool cannot take: proposed and failed, never tried."""
        failed = Failed(Kind.BAD_INPUT, wrong.message, code=wrong.field, phase=Phase.NOT_SENT)
        return await self.settle(action, Done(Returned(None)), failed)

    async def settle(self, action: Action, done: Done, outcome: Outcome) -> Recovery:
        """Choose what comes next and write down what happened, with the question it raises."""
        story = self.journal.story(action.id)
        attempt = attempts(story)
        written = [] if story else [drafts.proposed(action)]
        if not isinstance(outcome, Failed | Unknown):
            worked = recover(outcome, tool=action.tool, attempt=attempt, seen=0, jitter=0.0)
            mends = self.recoveries.mended(action)
            draft = drafts.settled(
                action, done, outcome, worked, prints=None, attempt=attempt, mends=mends
            )
            await self.journal.append(*written, draft)
            return worked
        outcome = drafts.placed(action.arguments, outcome)
        prints = fingerprints(action.tool.name, action.arguments, outcome)
        host = outcome.host if isinstance(outcome, Failed) else ""
        while True:
            recovery = await self.recoveries.choose(action, outcome, prints, attempt)
            asked, blocker, seen = await self._asked(action, outcome, recovery, prints)
            draft = drafts.settled(
                action, done, outcome, recovery, prints=prints, attempt=attempt, blocker=blocker,
                depends=self.recoveries.met_with(action, host),
                host_depends=self.outlook.refusals.host_depends(action, host),
            )  # fmt: skip
            with suppress(StaleError):  # somebody failed there at the same moment, and asked
                await self.journal.append(*written, draft, *asked, seen=seen)
                return recovery

    async def model_failed(
        self, draft: Draft, model: str, failed: Failed, recovery: Recovery
    ) -> None:
        """Write down a request the model did not answer, with the question it raises, or points to."""
        body = draft.body
        if not self.recoveries.parks(recovery) or not isinstance(body, ModelFailed):
            return await self.journal.append(draft)
        while True:
            known, seen = await self.outlook.refusals.question(body.site)
            if known:
                refused = ModelRefused(body.number, model, body.site, recovery.why, blocker=known)
                return await self.journal.append(draft, Draft(draft.key, refused))
            raised = drafts.escalated(
                model, failed, recovery, action=draft.key, site=body.site,
                blocker=await new_blocker(self.journal.store), now=self.clock.now(),
            )  # fmt: skip
            with suppress(StaleError):  # somebody failed there at the same moment, and asked
                return await self.journal.append(draft, raised, seen=seen)

    async def leave_out(self, action: Action, by: str) -> None:
        """Write down that a person decided to go on without it."""
        number = 1 + sum(isinstance(e.body, Decided) for e in self.journal.story(action.id))
        await self.journal.append(drafts.left_out(action, number=number, by=by))

    async def hold_off(self, action: Action) -> bool:
        """Wait until the other side may be asked again; if that is too long for anybody, park the run."""
        story = self.journal.story(action.id)
        seconds = (await self.outlook.refusals.view(action)).pause_seconds
        if story and (at := tried_again_at(story[-1])):
            seconds = max(seconds, (at - self.clock.now()).total_seconds())
        why = "the other side asked for a pause"
        if story and isinstance(self.next(action), Reconcile):
            arrives = self.doubts.seconds_left(action)
            why = "it cannot be asked yet whether it happened" if arrives > seconds else why
            seconds = max(seconds, arrives)
        if await self.wait(seconds, action):
            left = (await self.outlook.refusals.view(action)).pause_seconds if seconds > 0 else 0.0
            return left <= 0 or await self.hold_off(action)  # it was asked for more meanwhile
        waiting = open_blockers(self.journal.entries).values()
        if all(body.action != action.id for body in waiting):
            why = f"{why}, for another {seconds:.0f} s"
            failed = Failed(Kind.RATE_LIMITED, why)
            await self.journal.append(
                await raised(self.journal, self.clock, action, failed, Wait(why, seconds))
            )
        return False

    async def wait(self, seconds: float, action: Action | None = None) -> bool:
        """Sleep if that is bearable; a longer wait ends the run and holds no process."""
        longest = self.recoveries.seconds_left(action) if action else self.wait_seconds_max
        if seconds > longest:
            return False
        if seconds > 0:
            await self.clock.sleep(seconds)
        return True

    async def sleep(self, action: Action, seconds: float) -> bool:
        """Sleep what was chosen, unless it was put to a person: that was decided with the outcome, once."""
        given = answers(self.journal.of(AnswerGiven))
        for entry in self.journal.of(BlockedRaised):
            match entry.body:
                case BlockedRaised(action=action.id) if entry.key not in given:
                    return False
                case _:
                    pass
        await self.clock.sleep(seconds)
        return True

    def alternate(self, action: Action) -> str | None:
        """Return the tool to try instead, if the last recovery says so."""
        name = alternate_of(self.journal.story(action.id))
        return name if name in self.outlook.tools else None  # it may be gone since

    def _still_the_same(self, action: Action) -> bool:
        """An answer holds for one exact call: same arguments, same manifest."""
        decided = [e.body for e in self.journal.story(action.id) if isinstance(e.body, Decided)]
        return action.tool.origin == "agent" or decided[-1].digest == action.digest

    def _stood_in_the_way(self, story: Sequence[Entry]) -> bool:
        """Whether an earlier segment refused this call for something that may be gone by now."""
        if not story or story[-1].epoch >= self.journal.epoch:
            return False
        match story[-1].body:
            case Decided(decision=Deny(rule="open_site" | "in_doubt" | "wait")):
                return True
            case _:
                return False

    def _left_out(self, action: Action, given: Mapping[str, AnswerGiven]) -> str:
        """Return who said to go on without this call, if anybody did."""
        for entry in self.journal.of(BlockedRaised):
            match entry.body:
                case BlockedRaised(action=action.id, kind="failure") if entry.key in given:
                    if skips(given[entry.key].answer):
                        return given[entry.key].by
                case _:
                    pass
        return ""

    async def _decision(
        self, action: Action, step: Decide, rules: Sequence[Rule], view: View
    ) -> tuple[Decision, list[Draft]]:
        story = self.journal.story(action.id)
        number = 1 + sum(isinstance(entry.body, Decided) for entry in story)
        situation = await self.outlook.situation(action, view)
        refusal = situation.refusal
        if (
            (refusal is None or refusal.asks)
            and step.answer is not None
            and self._still_the_same(action)
        ):
            question = action.tool.origin == "agent"  # every word is an answer to it, also `no`
            said = Allow(step.by) if question else drafts.answered(step.answer, step.by)
            return said, [drafts.decided(action, said, number=number, by=step.by)]
        decision = decide(action, situation, rules)
        return decision, await self._decided(action, decision, number, refusal)

    def _intended(self, action: Action, attempt: int, *, tree: str) -> Draft:
        ticks = self.clock.monotonic()
        return drafts.intended(
            action, attempt=attempt, key=self.key(action), tree=tree, ticks=ticks
        )

    async def _decided(
        self, action: Action, decision: Decision, number: int, refusal: Refusal | None
    ) -> list[Draft]:
        match decision:
            case Ask():
                blocker = await new_blocker(self.journal.store)
                return [
                    drafts.decided(action, decision, number=number, blocker=blocker),
                    drafts.question(action, decision, blocker=blocker, now=self.clock.now()),
                ]
            case Deny():
                return await self.denials.written(action, decision, number, refusal)
            case Allow():
                return [drafts.decided(action, decision, number=number)]

    async def _asked(
        self, action: Action, outcome: Failed | Unknown, recovery: Recovery, prints: Fingerprints
    ) -> tuple[list[Draft], str, Seen]:
        """Raise the question a recovery needs, unless it is open already; then point to it."""
        seen: Seen = {}
        if not isinstance(outcome, Failed) or not self.recoveries.parks(recovery, action):
            return [], "", seen
        if isinstance(recovery, Escalate):
            wide = host_site(outcome.host, prints.cause) if outcome.host else ""
            waiting = open_blockers(self.journal.entries).items()
            own = next((name for name, asked in waiting if asked.site == prints.site), "")
            known, seen = await self.outlook.refusals.question(prints.site, wide)
            if known := own or known:
                return [], known, {}
        secrets = self.outlook.refusals.secrets(action, outcome.host)
        question = await raised(
            self.journal, self.clock, action, outcome, recovery, site=prints.site, secrets=secrets
        )
        return [question], "", seen


def _is_unknown(last: Entry) -> bool:
    return isinstance(last.body, Settled) and isinstance(last.body.outcome, Unknown)
