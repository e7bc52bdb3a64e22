import asyncio
from pathlib import Path

import msgspec
import pytest

from standpipe.actions import Action, Done, Effect, Expired, Raised, Returned, Tool
from standpipe.clock import SystemClock
from standpipe.errors import JournalError, StandpipeError
from standpipe.execution import executor as module
from standpipe.execution.executor import Executor, Inner
from standpipe.execution.frames import FRAME_BYTES_MAX, Init, Request
from standpipe.execution.pool import Home, Pool
from standpipe.execution.undo.blobs import Blobs
from standpipe.execution.workspace import Workspace


def action(name: str = "note", *, seconds: float = 30.0) -> Action:
    tool = Tool(name=name, effect=Effect.READ, origin="builtin", timeout_seconds=seconds)
    return Action(id="r1.1.1", tool=tool)


async def attempt(inner: Inner, *, seconds: float = 30.0) -> Done:
    executor = Executor(clock=SystemClock(), inner={"note": inner}, mask=hide)
    return await executor.attempt(action(seconds=seconds), key="k")


def hide(value: object) -> object:
    text = msgspec.json.encode(value).decode()
    return msgspec.json.decode(text.replace("s3cret", "[secret A]"))


async def test_a_value_comes_back_as_json_and_masked() -> None:
    async def inner(action: Action) -> object:
        return {"said": ("s3cret", 1)}

    assert (await attempt(inner)).result == Returned({"said": ["[secret A]", 1]})


async def test_an_exception_becomes_a_value_with_every_text_masked() -> None:
    async def inner(action: Action) -> object:
        raise ValueError("with s3cret") from OSError(5, "s3cret", "s3cret.txt")

    result = (await attempt(inner)).result
    assert isinstance(result, Raised)
    assert result.fault.message == "with [secret A]"
    assert result.fault.cause is not None
    assert "s3cret" not in str(result)


@pytest.mark.parametrize("value", [object(), "a\ud800"])
async def test_a_value_json_has_no_words_for_is_a_fault(value: object) -> None:
    async def inner(action: Action) -> object:
        return value

    assert isinstance((await attempt(inner)).result, Raised)


async def test_a_value_that_is_too_large_is_a_fault() -> None:
    async def inner(action: Action) -> object:
        return "x" * 9_000_000

    result = (await attempt(inner)).result
    assert isinstance(result, Raised)
    assert result.fault.type == "ResultTooLarge"


async def test_a_lost_journal_is_raised_and_no_failure_of_the_tool() -> None:
    async def inner(action: Action) -> object:
        raise JournalError("no room")

    with pytest.raises(JournalError):
        await attempt(inner)


async def test_a_tool_of_ours_that_hangs_expires() -> None:
    async def inner(action: Action) -> object:
        return await asyncio.Event().wait()

    assert (await attempt(inner, seconds=0.01)).result == Expired(0.01)


async def test_a_tool_of_ours_that_ignores_its_cancellation_is_left_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "GRACE_SECONDS", 0.01)
    over = asyncio.Event()

    async def inner(action: Action) -> object:
        while not over.is_set():
            try:
                await over.wait()
            except asyncio.CancelledError:
                continue
        return "late"

    assert (await attempt(inner, seconds=0.01)).result == Expired(0.01)
    over.set()


async def test_a_tool_nobody_has_is_a_fault() -> None:
    executor = Executor(clock=SystemClock())
    done = await executor.attempt(action("nothing"), key="k")
    assert isinstance(done.result, Raised)
    assert done.result.fault.type == "UnknownTool"


async def test_a_workspace_that_cannot_be_copied_stops_the_action_before_it_starts(
    tmp_path: Path,
) -> None:
    (tmp_path / "store").write_text("in the way")
    workspace = Workspace(tmp_path / "workspace", tmp_path / "store")
    executor = Executor(clock=SystemClock(), workspace=workspace)
    with pytest.raises(StandpipeError, match="cannot be copied before `shell`"):
        await executor.prepare(Action(id="r1.1.1", tool=Tool(name="shell")))


@pytest.mark.parametrize("remains", [b"", b"{", b'{"a": 1}', None])
async def test_a_copy_that_cannot_be_read_costs_the_list_of_changes_once_and_no_resume(
    remains: bytes | None, tmp_path: Path
) -> None:
    root, store = tmp_path / "workspace", tmp_path / "store"
    root.mkdir()
    tree = Workspace(root, store).snapshot()
    (root / "a").write_text("since then")
    copy = Blobs(store).path(tree)
    copy.unlink() if remains is None else copy.write_bytes(remains)
    executor = Executor(clock=SystemClock(), workspace=Workspace(root, store))
    executor.inherit(tree)
    (change,) = await executor.left_over()
    assert (change.path, change.undoable) == (".", False)
    assert "not compared" in change.reason
    assert await executor.left_over() == ()


async def test_a_worker_that_cannot_be_started_is_a_result_and_nothing_was_done(
    tmp_path: Path,
) -> None:
    pool = Pool(Home(home=tmp_path / "gone", workspace=tmp_path))
    pool._init = Init(home="", workspace="")  # noqa: SLF001 # pyright: ignore[reportPrivateUsage] -- as after a start, when the home has gone since
    result = (await pool.ask(Request(op="call", tool="pay"), seconds=5)).result
    assert isinstance(result, Raised)
    assert result.fault.type == "NotStarted"


async def test_arguments_that_no_frame_takes_are_a_result_and_nothing_was_done(
    tmp_path: Path,
) -> None:
    pool = Pool(Home(home=tmp_path, workspace=tmp_path))
    large = msgspec.Raw(b'"' + b"x" * FRAME_BYTES_MAX + b'"')
    request = Request(op="call", tool="pay", arguments=large)
    result = (await pool.ask(request, seconds=5)).result
    assert isinstance(result, Raised)
    assert result.fault.type == "BadArguments"


def test_a_long_result_is_cut_and_marked() -> None:
    cut = module._shortened(Returned({"rows": ["x" * 300_000]}))  # noqa: SLF001 # pyright: ignore[reportPrivateUsage] -- the cut is what is tested
    assert isinstance(cut, Returned)
    assert cut.cut
    assert "300013 characters in all" in str(cut.value)
    assert module._shortened(Returned([1])) == Returned([1])  # noqa: SLF001 # pyright: ignore[reportPrivateUsage] -- as above
