"""The one gate. Read `Gate.perform` from top to bottom: that is the product.

propose -> policy -> intend -> execute -> judge -> recover -> tell
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from standpipe.actions import Action, Done, Result, Tool
from standpipe.execution.executor import Executor
from standpipe.governor.recovery import Recovery, Refresh, Retry, Wait
from standpipe.ids import alternate_id
from standpipe.journal.record import Record
from standpipe.journal.views import Decide, Doubt, Intend, LeaveOut, Reconcile, Repeat, Settle, Step
from standpipe.outcomes.classify import judge
from standpipe.outcomes.outcome import Outcome, Unknown
from standpipe.policy.arguments import complaint
from standpipe.policy.decision import Allow, Decision
from standpipe.policy.rulebook import RULES, Rule


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """Decide, write down, do once, judge, and choose what comes next."""

    record: Record
    executor: Executor
    tool: Callable[[str], Tool]
    rules: Sequence[Rule] = RULES

    async def perform(self, action: Action) -> Outcome:
        """Perform `action` and tell what became of it; asked again, tell the same."""
        while isinstance(await self.admit(action), Allow):
            key, paused = self.record.key(action), await self.record.paused()
            done = await self.executor.attempt(action, key=key, paused=paused)
            if not await self.follow(action, await self.settle(action, done)):
                break
        if alternate := self.record.alternate(action):
            return await self.perform(self.instead(action, alternate))
        return self.record.told(action)

    async def admit(self, action: Action) -> Decision:
        """Propose, decide, and if it may happen, write down that it is about to."""
        await self.record.go_on()
        step = await self.clear_up(action)
        if step == Decide() and (wrong := complaint(action)):
            await self.record.reject(action, wrong)
        elif isinstance(step, Decide):
            step = await self.record.decide(action, step, self.rules, self.executor.prepare)
        match step:
            case Intend(attempt) if await self.record.may_start(action):
                await self.record.refresh_if_owed(action, self.executor.refresh)
                await self.record.intend(action, attempt, tree=await self.executor.prepare(action))
                return Allow("intended")
            case Repeat():
                return Allow("its intent is on disk")
            case _:
                return self.record.decision(action)

    async def settle(self, action: Action, done: Done) -> Recovery:
        """Judge what came back, choose what comes next, write both down."""
        return await self.record.settle(action, done, judge(action.tool, done.result))

    async def follow(self, action: Action, recovery: Recovery) -> bool:
        """Do what was chosen; return whether the action is to be admitted once more."""
        match recovery:
            case Retry(delay_seconds=delay) | Wait(delay_seconds=delay):
                return await self.record.sleep(action, delay)
            case Refresh():
                return True  # before the next attempt, also by a process that goes on
            case _:
                return isinstance(self.record.told(action), Unknown)

    async def clear_up(self, action: Action) -> Step:
        """Find out what an attempt nobody saw the end of came to; then return what may happen next."""
        match step := self.record.next(action):
            case Reconcile(attempt) if await self.record.hold_off(action):
                found = await self.verify(action)
                await self.record.doubts.verified(
                    action, attempt, found, await self.executor.left_over()
                )
            case Doubt(attempt):
                await self.record.doubts.doubt(action, attempt)
            case Settle() as said:
                found = await self.verify(action)
                await self.record.doubts.answered(
                    action, said, found, await self.executor.left_over()
                )
            case Repeat():  # begun by another process: is the run still ours?
                await self.record.journal.refresh()
            case LeaveOut(by):
                await self.record.leave_out(action, by)
            case _:
                return step
        return self.record.next(action)

    async def verify(self, action: Action) -> Result:
        """Ask the other side whether it happened."""
        key, paused = self.record.key(action), await self.record.paused()
        return await self.executor.verify(action, key=key, paused=paused)

    def instead(self, action: Action, name: str) -> Action:
        """Return the same call of another tool, as an action of its own."""
        left = tuple(other for other in action.tool.alternates if other != name)
        return replace(
            action, id=alternate_id(action.id), tool=replace(self.tool(name), alternates=left)
        )
