"""Write down what the gate does, and count what it has to count. The only writer of `action.*` entries."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from msgspec.structs import replace

from standpipe.actions import Action, Done, Result, Returned, Tool
from standpipe.clock import Clock
from standpipe.governor.fingerprint import Fingerprints, fingerprints
from standpipe.governor.recovery import Escalate, Recovery, Stop, Wait, recover
from standpipe.governor.sites import host_site
from standpipe.ids import response_of
from standpipe.journal import drafts
from standpipe.journal.doubts import Doubts, new_blocker
from standpipe.journal.entries import (
    AnswerGiven,
    BlockedRaised,
    CredentialRefreshed,
    Decided,
    Draft,
    Intended,
    ModelFailed,
    ModelRefused,
    Settled,
)
from standpipe.journal.failures import skips
from standpipe.journal.journal import Journal
from standpipe.journal.outlook import Outlook
from standpipe.journal.recoveries import Recoveries
from standpipe.journal.refusals import View
from standpipe.journal.views import (
    Decide,
    LeaveOut,
    Repeat,
    Step,
    alternate_of,
    answers,
    attempts,
    denials,
    next_step,
    open_blockers,
    outcome_of,
    standing,
    tried_again_at,
)
from standpipe.outcomes.classify import judge
from standpipe.outcomes.outcome import Failed, Kind, Outcome, Phase, Unknown
from standpipe.outcomes.reading import fields, items
from standpipe.policy.arguments import Complaint
from standpipe.policy.decision import Allow, Ask, Decision, Deny
from standpipe.policy.egress import host_of
from standpipe.policy.rulebook import Rule, decide
from standpipe.policy.situation import Refusal

Prepare = Callable[[Action], Awaitable[str]]


class Renew(Protocol):
    """Renew the credential of a tool; ask none of the hosts that are `paused`."""

    async def __call__(self, tool: Tool, /, *, paused: Mapping[str, float]) -> Result: ...


_CLEARED_BY_ANSWERS = ("open_site", "in_doubt")


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One run's record, with what its governor needs to know."""

    journal: Journal
    outlook: Outlook
    clock: Clock
    jitter: Callable[[], float]
    same_way: int = 2
    wait_seconds_max: float = 30.0
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

    def next(self, action: Action) -> Step:
        """Return what may happen next with `action`."""
        given = answers(self.journal.of(AnswerGiven))
        story = self.journal.story(action.id)
        if story and isinstance(story[-1].body, Settled) and (by := self._left_out(action, given)):
            return LeaveOut(by)
        return next_step(action, story, given)

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

    async def may_start(self, action: Action) -> bool:
        """Wait as long as the other side asked for; refuse what has become known since it was decided."""
        if not await self.hold_off(action):
            return False
        refusals = self.outlook.refusals
        view = await refusals.view(action)
        refusal = await refusals.of(action, view)
        if refusal is None and not await refusals.claim(action, view):  # somebody else was faster
            refusal = await refusals.of(action, await refusals.view(action))
        if refusal is None:
            return True
        story = self.journal.story(action.id)
        number = 1 + sum(isinstance(entry.body, Decided) for entry in story)
        deny = Deny(refusal.rule, refusal.reason)
        await self.journal.append(*await self._denied(action, deny, number, refusal))
        return False

    async def intend(self, action: Action, attempt: int, *, tree: str) -> None:
        """Write the intent; once this returns, the effect may start."""
        await self.journal.append(self._intended(action, attempt, tree=tree))

    async def paused(self) -> Mapping[str, float]:
        """Return the hosts that nobody of this home may ask now, with the seconds left."""
        return await self.outlook.refusals.paused()

    async def refresh(self, action: Action, renew: Renew) -> None:
        """Renew a credential once, however many calls were rejected with it; all of them wait for it."""
        async with self.renewing:
            if self.recoveries.renewed_since(action):
                return  # by another call that was rejected together with this one
            came = await renew(action.tool, paused=await self.paused())
            names = _names_of(came)
            failed = "" if isinstance(came, Returned) else judge(action.tool, came)
            why = failed.message if isinstance(failed, Failed | Unknown) else ""
            body = CredentialRefreshed(action.tool.refresh, action.tool.name, names, why)
            await self.journal.append(Draft(action.id, body))

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
        outcome = _placed(action, outcome)
        prints = fingerprints(action.tool.name, action.arguments, outcome)
        recovery = await self.recoveries.choose(action, outcome, prints, attempt)
        asked, blocker = await self._asked(action, outcome, recovery, prints)
        draft = drafts.settled(
            action, done, outcome, recovery, prints=prints, attempt=attempt, blocker=blocker,
            depends=await self.outlook.refusals.depends(action),
        )  # fmt: skip
        await self.journal.append(*written, draft, *asked)
        return recovery

    async def model_failed(
        self, draft: Draft, model: str, failed: Failed, recovery: Recovery
    ) -> None:
        """Write down a request the model did not answer, with the question it raises, or points to."""
        written, body = [draft], draft.body
        if self.recoveries.parks(recovery) and isinstance(body, ModelFailed):
            if known := await self.outlook.refusals.question(body.site):
                refused = ModelRefused(body.number, model, body.site, recovery.why, blocker=known)
                written.append(Draft(draft.key, refused))
            else:
                raised = drafts.escalated(
                    model, failed, recovery, action=draft.key, site=body.site,
                    blocker=await new_blocker(self.journal.store), now=self.clock.now(),
                )  # fmt: skip
                written.append(raised)
        await self.journal.append(*written)

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
        if await self.wait(seconds, action):
            return True
        waiting = open_blockers(self.journal.entries).values()
        if all(body.action != action.id for body in waiting):
            why = f"the other side asked for a pause of {seconds:.0f} s"
            failed = Failed(Kind.RATE_LIMITED, why)
            await self.journal.append(await self._question(action, failed, Wait(why, seconds), ""))
        return False

    async def wait(self, seconds: float, action: Action | None = None) -> bool:
        """Sleep if that is bearable; a longer wait ends the run and holds no process."""
        longest = self.recoveries.seconds_left(action) if action else self.wait_seconds_max
        if seconds > longest:
            return False
        if seconds > 0:
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
        if refusal is None and step.answer is not None and self._still_the_same(action):
            question = action.tool.origin == "agent"  # every word is an answer to it, also `no`
            said = Allow(step.by) if question else drafts.answered(step.answer, step.by)
            return said, [drafts.decided(action, said, number=number, by=step.by)]
        decision = decide(action, situation, rules)
        return decision, await self._decided(action, decision, number, refusal)

    def _intended(self, action: Action, attempt: int, *, tree: str) -> Draft:
        return drafts.intended(action, attempt=attempt, key=self.key(action), tree=tree)

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
                return await self._denied(action, decision, number, refusal)
            case Allow():
                return [drafts.decided(action, decision, number=number)]

    async def _denied(
        self, action: Action, deny: Deny, number: int, refusal: Refusal | None
    ) -> list[Draft]:
        """Count a denial like a failure: the agent is told once, a human the second time."""
        if refusal and deny.rule == refusal.rule in _CLEARED_BY_ANSWERS:
            recovery = Escalate(deny.reason)
            known = drafts.decided(
                action, deny, number=number, recovery=recovery, blocker=refusal.blocker
            )
            return [known]
        if refusal and deny.rule == refusal.rule == "wait":
            wait = Wait(deny.reason, refusal.seconds)
            return await self._held_up(action, deny, number, wait, Kind.RATE_LIMITED)
        if deny.rule == "budget":
            return [drafts.decided(action, deny, number=number, recovery=Stop(deny.reason))]
        recovery = self._after_denial(action, deny)
        if not isinstance(recovery, Escalate):
            return [drafts.decided(action, deny, number=number, recovery=recovery)]
        return await self._held_up(action, deny, number, recovery, Kind.DENIED)

    def _after_denial(self, action: Action, deny: Deny) -> Recovery:
        failed = _denial(action.tool.origin, deny)
        before = [
            _denial(body.origin, said)
            for body, said in denials(self.journal.entries, outside=response_of(action.id))
            if body.tool == action.tool.name
        ]
        site = fingerprints(action.tool.name, action.arguments, failed).site
        seen = 1 + sum(
            fingerprints(action.tool.name, action.arguments, other).site == site for other in before
        )
        return recover(failed, tool=action.tool, attempt=1, seen=seen, jitter=0.0)

    async def _held_up(
        self, action: Action, deny: Deny, number: int, recovery: Recovery, kind: Kind
    ) -> list[Draft]:
        raised = await self._question(action, Failed(kind, deny.reason), recovery, "")
        decided = drafts.decided(action, deny, number=number, recovery=recovery, blocker=raised.key)
        return [decided, raised]

    async def _asked(
        self, action: Action, outcome: Failed | Unknown, recovery: Recovery, prints: Fingerprints
    ) -> tuple[list[Draft], str]:
        """Raise the question a recovery needs, unless it is open already; then point to it."""
        if not isinstance(outcome, Failed) or not self.recoveries.parks(recovery, action):
            return [], ""
        if isinstance(recovery, Escalate):
            wide = host_site(outcome.host, prints.cause) if outcome.host else ""
            if known := await self.outlook.refusals.question(prints.site, wide):
                return [], known
        secrets = self.outlook.refusals.secrets(action, outcome.host)
        return [await self._question(action, outcome, recovery, prints.site, secrets)], ""

    async def _question(
        self, action: Action, failed: Failed, recovery: Recovery, site: str,
        secrets: Sequence[str] = (),
    ) -> Draft:  # fmt: skip
        return drafts.escalated(
            action.tool.name, failed, recovery, action=action.id, blocker=await new_blocker(self.journal.store),
            site=site, now=self.clock.now(), secrets=secrets,
        )  # fmt: skip


def _denial(origin: str, deny: Deny) -> Failed:
    if deny.rule in (Kind.LOOP, Kind.NO_PROGRESS):
        return Failed(Kind(deny.rule), deny.reason, code=deny.rule)
    kind = Kind.UNKNOWN_TOOL if origin == "unknown" else Kind.DENIED
    return Failed(kind, deny.reason, code=deny.rule)


def _placed(action: Action, outcome: Failed | Unknown) -> Failed | Unknown:
    """Name the host where the call itself says it; a message is never read for it."""
    url = action.arguments.get("url")
    if isinstance(outcome, Unknown) or outcome.host or not isinstance(url, str):
        return outcome
    return replace(outcome, host=host_of(url) or "")


def _names_of(came: Result) -> tuple[str, ...]:
    value = came.value if isinstance(came, Returned) else None
    return tuple(map(str, items(fields(value).get("refreshed"))))
