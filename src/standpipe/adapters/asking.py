"""The requests of one segment to its models: who is asked, what failed, what then.

Rule 1: a failure is on disk before anything is done about it, together with what it changes.
Rule 2: a model is asked instead only while the one before it cannot answer, and each at most once for
    the same request, so an outage of all of them ends in one question.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from msgspec.structs import replace
from pydantic_ai.messages import ModelMessage

from standpipe.actions import Action
from standpipe.adapters.compaction import Compaction, compacted, compactions, size_of
from standpipe.adapters.model_failures import SoFar, as_tool, chosen, judged
from standpipe.adapters.plan import Plan, failures, plan, too_longs
from standpipe.governor.fingerprint import VERSION, fingerprints
from standpipe.governor.recovery import TABLE, Recovery, Retry, Wait
from standpipe.journal.entries import Draft, Entry, ModelFailed, ModelRefused, ModelResponded, Noted
from standpipe.journal.record import Record
from standpipe.outcomes.outcome import Failed, Kind
from standpipe.policy.situation import Refusal


@dataclass(slots=True, kw_only=True)
class Asking:
    """What one segment knows of its models. The first is asked, the others stand in, in order."""

    record: Record
    models: Sequence[str]
    mask: Callable[[object], object]
    model_seconds: float
    hosts: Mapping[str, str] = field(default_factory=dict[str, str])
    messages: Sequence[ModelMessage] = ()

    @property
    def number(self) -> int:
        """The number of the next response, from the journal."""
        return 1 + sum(isinstance(entry.body, ModelResponded) for entry in self._entries)

    def plan(self) -> Plan:
        """Return how the next request is made."""
        return plan(
            self._entries, self.messages, main=self.models[0], number=self.number,
            epoch=self.record.journal.epoch, run=self._run,
        )  # fmt: skip

    def request(self) -> Action:
        """Return the next request as the call it is: by this it is refused while it is known to fail."""
        return self._asked(self.plan().model)

    async def may_ask(self) -> bool:
        """Whether the next request may be made; one that is known to fail goes to another model, or to nobody."""
        action = self.request()
        if refusal := await self._refusal(action):
            alternates = not refusal.kind or TABLE[Kind(refusal.kind)].alternates
            others = [name for name in self.models if alternates and name != action.tool.name]
            free = [name for name in others if not await self._refusal(self._asked(name))]
            body = ModelRefused(
                number=self.number,
                model=action.tool.name,
                site=refusal.site,
                blocker="" if free else refusal.blocker,
                why=refusal.reason,
                instead=free[0] if free else "",
            )
            key = f"{self.number}#{self.record.journal.epoch}#{action.tool.name}"
            await self.record.journal.append(Draft(key, body))
            return bool(free)
        return await self.record.hold_off(action)

    async def failed(self, error: Exception, *, url: str | None) -> Recovery:
        """Judge a request that was not answered, write it down, and wait where waiting helps."""
        model = self.plan().model
        said = judged(error, model=model, url=url)
        failed = replace(said, message=str(self.mask(said.message)))
        recovery = chosen(error, failed, self._so_far(model, failed), jitter=self.record.jitter())
        await self.write_down(failed, recovery)
        if isinstance(recovery, Retry | Wait):
            await self.record.wait(recovery.delay_seconds)
        return recovery

    async def write_down(self, failed: Failed, recovery: Recovery) -> None:
        """Write down a failure of the model that is being asked, with the question it raises."""
        model, number = self.plan().model, self.number
        attempt = 1 + len(failures(self._entries, number=number))
        prints = fingerprints(model, {}, failed)
        asked, refusals = self.request(), self.record.outlook.refusals
        body = ModelFailed(
            number=number,
            attempt=attempt,
            failed=failed,
            recovery=recovery,
            model=model,
            site=prints.site,
            template=prints.template,
            instance=prints.instance,
            cause=prints.cause,
            depends=refusals.depends(asked, failed.host),
            host_depends=refusals.host_depends(asked, failed.host),
            version=VERSION,
        )
        draft = Draft(f"{number}#{attempt}", body)
        if failed.kind is Kind.CONTEXT_OVERFLOW and isinstance(recovery, Retry):
            await self.record.journal.append(draft, self._shortened(draft.key, failed))
        else:
            await self.record.model_failed(draft, model, failed, recovery)

    def _asked(self, model: str) -> Action:
        host = self.hosts.get(model)
        arguments = {"url": f"https://{host}"} if host else {}
        tool = replace(as_tool(model), timeout_seconds=self.model_seconds)
        return Action(id=f"{self._run}.{self.number}", tool=tool, arguments=arguments)

    async def _refusal(self, action: Action) -> Refusal | None:
        refusals = self.record.outlook.refusals
        view = await refusals.view(action)
        refusal = await refusals.of(action, view)
        if refusal is None and not await refusals.claim(action, view):  # another run tries it now
            refusal = await refusals.of(action, await refusals.view(action))
        return refusal

    @property
    def _run(self) -> str:
        return self.record.journal.run

    @property
    def _entries(self) -> Sequence[Entry]:
        return self.record.journal.entries

    def _so_far(self, model: str, failed: Failed) -> SoFar:
        journal, number = self.record.journal, self.number
        ever = failures(journal.entries, number=number)
        here = failures(journal.entries, number=number, epoch=journal.epoch)
        asked = {model, *(body.model for body in here)}
        return SoFar(
            model=model,
            here=here,
            cuts=sum(body.failed.kind is Kind.CUT for body in ever),
            shorter=self._can_be_shorter(),
            alternates=[
                name for name in self.models if name not in asked and not self._waits(name, failed)
            ],
            wait_seconds_max=self.record.wait_seconds_max,
            stands_in=model != self.models[0],
        )

    def _waits(self, name: str, failed: Failed) -> bool:
        """Whether the host of a model has just asked for a pause: it is asked by nobody."""
        return bool(failed.retry_after_seconds) and self.hosts.get(name) == failed.host

    def _can_be_shorter(self) -> bool:
        return len(self._compactions(self.number)) > len(self._compactions())

    def _compactions(self, *more: int) -> list[Compaction]:
        numbers = [*too_longs(self._entries), *more]
        return compactions(self.messages, numbers, run=self._run)

    def _shortened(self, key: str, failed: Failed) -> Draft:
        before, after = (
            size_of(compacted(self.messages, done, run=self._run))
            for done in (self._compactions(), self._compactions(self.number))
        )
        body = Noted(
            by="runtime",
            what=f"the history is sent with {after} instead of {before} characters from request {self.number} on",
            why=f"{failed.message}; the journal keeps every word",
            alternatives=("stop and ask for a model that takes more",),
        )
        return Draft(f"shorter#{key}", body)
