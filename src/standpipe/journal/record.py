"""Write down what the gate does, and count what it has to count. The only writer of `action.*` entries."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from standpipe.actions import Action, Change, Done, Result, Returned
from standpipe.clock import Clock, moment
from standpipe.governor.fingerprint import fingerprints
from standpipe.governor.recovery import Escalate, Recovery, Refresh, Stop, Wait, recover
from standpipe.governor.sites import MODEL_CAUSED
from standpipe.ids import blocker_id, response_of
from standpipe.journal import drafts
from standpipe.journal.entries import AnswerGiven, Decided, Draft, Intended, Settled, Verdict
from standpipe.journal.journal import Journal
from standpipe.journal.outlook import Outlook
from standpipe.journal.views import (
    Decide,
    Repeat,
    Settle,
    Step,
    alternate_of,
    answers,
    attempts,
    breaths,
    denials,
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

Prepare = Callable[[Action], Awaitable[str]]
VERIFIED_ATTEMPTS_MAX = 3


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

    def next(self, action: Action) -> Step:
        """Return what may happen next with `action`."""
        given = answers(self.journal.of(AnswerGiven))
        return next_step(action, self.journal.story(action.id), given)

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
            decision, decided = await self._decision(action, step, rules)
            if not isinstance(decision, Allow) or await self.outlook.host_wait(action) > 0:
                await self.journal.append(*said, *decided)
                return self.next(action)
            attempt = attempts(self.journal.story(action.id)) + 1
            intended = self._intended(action, attempt, tree=await prepare(action))
            await self.journal.append(*said, *decided, intended)
            return Repeat(attempt)

    async def intend(self, action: Action, attempt: int, *, tree: str) -> None:
        """Write the intent; once this returns, the effect may start."""
        await self.journal.append(self._intended(action, attempt, tree=tree))

    async def reject(self, action: Action, wrong: Complaint) -> Recovery:
        """Write down a call whose arguments its tool cannot take: proposed and failed, never tried."""
        failed = Failed(Kind.BAD_INPUT, wrong.message, code=wrong.field, phase=Phase.NOT_SENT)
        return await self.settle(action, Done(Returned(None)), failed)

    async def settle(self, action: Action, done: Done, outcome: Outcome) -> Recovery:
        """Choose what comes next and write down what happened, with the question it raises."""
        story = self.journal.story(action.id)
        attempt = attempts(story)
        failed = isinstance(outcome, Failed | Unknown)
        prints = fingerprints(action.tool.name, action.arguments, outcome) if failed else None
        recovery = recover(
            outcome,
            tool=action.tool,
            attempt=attempt,
            seen=await self._seen(action, outcome, prints.site) if prints else 0,
            refreshed=self._refreshed(action.tool.name),
            jitter=self.jitter(),
            same_way=action.tool.same_way or self.same_way,
            alternates=self._alternates_left(action),
            wait_seconds_max=self.wait_seconds_max,
        )
        written = [] if story else [drafts.proposed(action)]
        written.append(
            drafts.settled(action, done, outcome, recovery, prints=prints, attempt=attempt)
        )
        if isinstance(outcome, Failed) and self._parks(recovery):
            site = prints.site if prints else ""
            written.append(await self._question(action, outcome, recovery, site))
        await self.journal.append(*written)
        return recovery

    async def model_failed(
        self, draft: Draft, model: str, failed: Failed, recovery: Recovery
    ) -> None:
        """Write down a request the model did not answer, with the question it raises."""
        written = [draft]
        if self._parks(recovery):
            written.append(await self._raised(model, failed, recovery, action=draft.key))
        await self.journal.append(*written)

    async def doubt(self, action: Action, attempt: int) -> None:
        """Write down that nobody can tell, and ask."""
        blocker = await self._blocker()
        now = self.clock.now()
        await self.journal.append(
            *drafts.in_doubt(action, attempt=attempt, blocker=blocker, now=now)
        )

    async def verified(
        self, action: Action, attempt: int, found: Result, changes: tuple[Change, ...] = ()
    ) -> None:
        """Write down what `verify` says; where it cannot tell, or says no too often, ask a human."""
        match found:
            case Returned(value=False) if attempt < VERIFIED_ATTEMPTS_MAX:
                await self._reconcile(action, attempt, Verdict.ABSENT, by="verify", changes=changes)
            case Returned(value=value) if value is not None and value is not False:
                await self._reconcile(
                    action, attempt, Verdict.HAPPENED, by="verify", value=value, changes=changes
                )
            case _:
                await self.doubt(action, attempt)

    async def answered(
        self, action: Action, said: Settle, found: Result, changes: tuple[Change, ...] = ()
    ) -> None:
        """Write down what a human says became of it; a receipt found meanwhile is stronger than a no."""
        word = said.answer.strip().casefold()
        receipt = found.value if isinstance(found, Returned) else None
        if word in {"yes", "y"} or (receipt and receipt is not False):
            verdict = Verdict.HAPPENED
        else:
            verdict = Verdict.ABSENT if word in {"no", "n"} else Verdict.GAVE_UP
        await self._reconcile(
            action, said.attempt, verdict, by=said.by, value=receipt or None, changes=changes
        )

    async def let_it_arrive(self, action: Action) -> None:
        """Give the other side the time it needs before `verify` may be believed."""
        intended = [e.at for e in self.journal.story(action.id) if isinstance(e.body, Intended)]
        since = (self.clock.now() - moment(intended[-1])).total_seconds()
        if (left := action.tool.verify_after_seconds - since) > 0:
            await self.clock.sleep(left)

    async def hold_off(self, action: Action) -> bool:
        """Wait until the other side may be asked again; if that is too long for anybody, park the run."""
        story = self.journal.story(action.id)
        seconds = await self.outlook.host_wait(action)
        if story and (at := tried_again_at(story[-1])):
            seconds = max(seconds, (at - self.clock.now()).total_seconds())
        if await self.wait(seconds):
            return True
        waiting = open_blockers(self.journal.entries).values()
        if all(body.action != action.id for body in waiting):
            why = f"the other side asked for a pause of {seconds:.0f} s"
            failed = Failed(Kind.RATE_LIMITED, why)
            await self.journal.append(await self._question(action, failed, Wait(why, seconds), ""))
        return False

    async def wait(self, seconds: float) -> bool:
        """Sleep if that is bearable; a longer wait ends the run and holds no process."""
        if seconds > self.wait_seconds_max:
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

    async def _reconcile(
        self, action: Action, attempt: int, verdict: Verdict, *, by: str,
        value: object = None, changes: tuple[Change, ...] = (),
    ) -> None:  # fmt: skip
        """Write down what `verify`, or a human, knows."""
        await self.journal.append(
            drafts.reconciled(action, verdict, attempt=attempt, by=by, value=value, changes=changes)
        )

    async def _decision(
        self, action: Action, step: Decide, rules: Sequence[Rule]
    ) -> tuple[Decision, list[Draft]]:
        story = self.journal.story(action.id)
        number = 1 + sum(isinstance(entry.body, Decided) for entry in story)
        if step.answer is not None and self._still_the_same(action):
            question = action.tool.origin == "agent"  # every word is an answer to it, also `no`
            said = Allow(step.by) if question else drafts.answered(step.answer, step.by)
            return said, [drafts.decided(action, said, number=number, by=step.by)]
        decision = decide(action, await self.outlook.situation(action), rules)
        return decision, await self._decided(action, decision, number)

    def _intended(self, action: Action, attempt: int, *, tree: str) -> Draft:
        return drafts.intended(action, attempt=attempt, key=self.key(action), tree=tree)

    async def _decided(self, action: Action, decision: Decision, number: int) -> list[Draft]:
        match decision:
            case Ask():
                blocker = await self._blocker()
                return [
                    drafts.decided(action, decision, number=number, blocker=blocker),
                    drafts.question(action, decision, blocker=blocker, now=self.clock.now()),
                ]
            case Deny():
                return await self._denied(action, decision, number)
            case Allow():
                return [drafts.decided(action, decision, number=number)]

    async def _denied(self, action: Action, deny: Deny, number: int) -> list[Draft]:
        """Count a denial like a failure: the agent is told once, a human the second time."""
        if deny.rule == "open_site":
            return await self._refused_by_site(action, deny, number)
        if deny.rule == "budget":
            return [drafts.decided(action, deny, number=number, recovery=Stop(deny.reason))]
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
        recovery = recover(
            failed, tool=action.tool, attempt=1, seen=seen, refreshed=False, jitter=0.0
        )
        if not isinstance(recovery, Escalate):
            return [drafts.decided(action, deny, number=number, recovery=recovery)]
        raised = await self._question(action, failed, recovery, "")
        decided = drafts.decided(action, deny, number=number, recovery=recovery, blocker=raised.key)
        return [decided, raised]

    async def _refused_by_site(self, action: Action, deny: Deny, number: int) -> list[Draft]:
        recovery = Escalate(deny.reason)
        if site := await self.outlook.open_site(action):
            blocker = site.blocker
        else:  # the other side asked for a pause that is longer than anybody waits
            wait = Wait(deny.reason, await self.outlook.host_wait(action))
            raised = await self._question(action, Failed(Kind.RATE_LIMITED, deny.reason), wait, "")
            decided = drafts.decided(
                action, deny, number=number, recovery=recovery, blocker=raised.key
            )
            return [decided, raised]
        return [drafts.decided(action, deny, number=number, recovery=recovery, blocker=blocker)]

    async def _question(
        self, action: Action, failed: Failed, recovery: Recovery, site: str
    ) -> Draft:
        return await self._raised(action.tool.name, failed, recovery, action=action.id, site=site)

    async def _raised(
        self, tool: str, failed: Failed, recovery: Recovery, *, action: str = "", site: str = ""
    ) -> Draft:
        blocker, now = await self._blocker(), self.clock.now()
        return drafts.escalated(
            tool, failed, recovery, action=action, blocker=blocker, site=site, now=now
        )

    def _parks(self, recovery: Recovery) -> bool:
        return drafts.needs_human(recovery, wait_seconds_max=self.wait_seconds_max)

    async def _seen(self, action: Action, outcome: Outcome, site: str) -> int:
        """Count the failures of a site, this one included; what a model did in one breath is done once."""
        if not isinstance(outcome, Failed) or outcome.kind not in MODEL_CAUSED:
            return 1 + await self.outlook.seen(site)
        before = breaths(self.journal.entries, site=site, tool=action.tool.name)
        return 1 + len(before - {response_of(action.id)})

    def _refreshed(self, tool: str) -> bool:
        """One refresh per credential and segment: a new process has lost the renewed one."""
        return any(
            isinstance(entry.body, Settled)
            and entry.epoch == self.journal.epoch
            and entry.body.tool == tool
            and isinstance(entry.body.recovery, Refresh)
            for entry in self.journal.of(Settled)
        )

    def _alternates_left(self, action: Action) -> tuple[str, ...]:
        return tuple(name for name in action.tool.alternates if name != action.tool.name)

    async def _blocker(self) -> str:
        return blocker_id(await self.journal.store.number("blocker"))


def _denial(origin: str, deny: Deny) -> Failed:
    kind = Kind.UNKNOWN_TOOL if origin == "unknown" else Kind.DENIED
    return Failed(kind, deny.reason, code=deny.rule)
