"""Ten honest working days: what agents do for hours without being stuck.

Each day is one generator with a seed of its own, so the days are the same on every machine. Every day
repeats itself in its own way: red tests, searches that find nothing, the same status again, bad rows.
What is fair to expect is built in: whoever sees a failure changes something before the third try.
"""

import json
from collections.abc import Callable, Iterator
from itertools import islice
from random import Random

from standpipe.testing.traces import Call, Trace

Day = Callable[[Random], Iterator[Call]]
CALLS_MIN = 100
MISSES_MAX = 5

HOST = "api.shop.example"
SHELL = {"shell": ("error_text", "not_found")}
FILES = {"read_file": ("not_found",)}
WORDS = (
    "order",
    "invoice",
    "refund",
    "stock",
    "price",
    "user",
    "cart",
    "export",
    "report",
    "vat",
    "label",
    "parcel",
)


def test_driven(random: Random) -> Iterator[Call]:
    """One test after the other: red, up to four edits of which three leave it red the same way, green."""
    done = 20
    for feature in WORDS:
        yield _write(f"tests/test_{feature}.py", f"def test_{feature}(): ...")
        yield _red(feature, "NameError", done)
        for attempt in range(random.randint(1, 4)):
            yield _shell("2 files", "ls src")
            yield _edit(f"src/{feature}.py", f"attempt {attempt}")
            if attempt:
                yield _red(feature, f"AssertionError: assert {attempt} == {attempt + 5}", done)
        yield _edit(f"src/{feature}.py", "the right one")
        done += 1
        yield _green(random, done)
        yield _shell("", f"git commit -qam 'Add {feature}'", changed=True)


def searching(random: Random) -> Iterator[Call]:
    """Most words are the wrong ones; every question is answered, or given up and noted."""
    for topic in WORDS * 2:
        misses = random.randint(1, MISSES_MAX)
        for number in range(misses):
            yield Call("search", {"q": f"{topic} {random.choice(WORDS)} {number}"}, result="[]")
        if misses < MISSES_MAX:
            yield Call("search", {"q": f"{topic} guide"}, result=json.dumps([f"{topic}.md"]))
            yield Call("read_file", {"path": f"{topic}.md"}, result=f"all about {topic}")
        yield _write(f"answers/{topic}.md", f"what I found about {topic}")


def polling(random: Random) -> Iterator[Call]:
    """Deploys: a declared poll that stands still for a while, and a status that counts up."""
    for number, service in enumerate(WORDS):
        yield Call("deploy", {"service": service}, result=f"job {number}", changed=True)
        for state in ("queued", "building", "rolling out"):
            for _ in range(random.randint(1, 4)):
                yield Call(
                    "wait_job", {"job": number}, result=state, seconds=random.randint(15, 30)
                )
        yield Call("wait_job", {"job": number}, result="done", seconds=20)
        for percent in range(0, 101, 25):
            yield Call("traffic", {"service": service}, result=f"{percent} % on the new version")


def paging(random: Random) -> Iterator[Call]:
    """Six lists to their ends, by page number and by a cursor that the tool keeps."""
    for name in WORDS[:6]:
        pages = random.randint(12, 20)
        by_number = _now_and_then(random, 0.5)
        for page in range(pages):
            rows = f"{name}: {page * 50} to {page * 50 + 49}" if page < pages - 1 else "[]"
            if by_number:
                yield Call("list_rows", {"list": name, "page": page}, result=rows)
            else:
                yield Call("next_rows", result=rows)
        yield _write(f"{name}.csv", f"{pages} pages")


def batch(random: Random) -> Iterator[Call]:
    """150 rows; some are bad, also two in a row, but not in the same way: that does stop a run."""
    faults = ["date is not a date", "amount must be a number", "currency is missing", "sku is new"]
    for row in range(150):
        arguments = {"row": row, "amount": random.randint(1, 999)}
        if _now_and_then(random, 0.08):
            faults = [*faults[1:], faults[0]]
            told = f"HTTP 422 row {row}: {faults[0]}"
            yield Call("import_row", arguments, ok=False, result=told, host=HOST)
        else:
            yield Call("import_row", arguments, result="imported", host=HOST, changed=True)


def inbox(random: Random) -> Iterator[Call]:
    """Thirty mails: read, look up the sender, label, sometimes answer; the list is read again and again."""
    for number in range(30):
        if number % 5 == 0:
            yield Call("mail_list", result=json.dumps(list(range(number, 30))))
        sender = f"{random.choice(WORDS)}{number}@example.com"
        yield Call(
            "mail_read",
            {"id": number},
            result=f"from {sender}: where is my {random.choice(WORDS)}?",
        )
        known = _now_and_then(random, 0.4)
        yield Call(
            "find_customer",
            {"email": sender},
            result=f"customer {number}" if known else "[]",
            host=HOST,
        )
        if known:
            yield Call(
                "get_orders",
                {"customer": number},
                result=random.choice(["[]", "[17]", "[8, 9]"]),
                host=HOST,
            )
            yield Call(
                "send_email",
                {"to": sender, "body": f"about {number}"},
                result="queued",
                changed=True,
            )
        yield Call(
            "mail_label",
            {"id": number, "label": "done" if known else "ask"},
            result="ok",
            changed=True,
        )


def data_cleaning(random: Random) -> Iterator[Call]:
    """Find what is wrong in a column, mend it, see that nothing is left."""
    for column in WORDS * 2:
        broken: dict[str, object] = {"column": column, "is": None}
        yield Call("count_rows", broken, result=f"{random.randint(1, 90)}")
        if _now_and_then(random, 0.3):
            guess = {"column": f"{column}_old"}
            yield Call("find_rows", guess, ok=False, result=f"no such column: {column}_old")
            yield Call("list_columns", result=json.dumps(WORDS))
        yield Call("find_rows", broken | {"limit": 5}, result=f"[{random.randint(1, 999)}]")
        yield Call("fill", {"column": column, "by": "median"}, result="ok", changed=True)
        yield Call("find_rows", broken, result="[]")


def ops_checks(random: Random) -> Iterator[Call]:
    """Rounds of the same checks; most are well, some are slow, one service is restarted now and then."""
    for _ in range(14):
        for service in ("web", "mail", "queue", "search"):
            yield Call(
                "check", {"service": service}, result=f"up, {random.randint(8, 60)} ms", seconds=2
            )
        yield _shell(f"/dev/sda1 {random.randint(40, 60)} %", "df -h /")
        errors = "" if _now_and_then(random, 0.3) else "17 ERROR timeout"
        yield _shell(errors, "grep ERROR /var/log/app.log")
        if _now_and_then(random, 0.4):
            service = random.choice(["web", "mail", "queue"])
            yield Call(
                "check",
                {"service": service},
                ok=False,
                result="HTTP 503 service unavailable",
                host=f"{service}.example",
            )
            yield Call("restart", {"service": service}, result="ok", changed=True)
            yield Call(
                "check",
                {"service": service},
                result="up, 9 ms",
                host=f"{service}.example",
                seconds=20,
            )
        yield _write("ops.md", f"round at {random.randint(1000, 9999)}")


def research(random: Random) -> Iterator[Call]:
    """Pages that are gone, files that were never there, and one document that is opened again and again."""
    for number, topic in enumerate(WORDS):
        yield Call("read_file", {"path": "brief.md"}, result="the question, in one page")
        for page in range(random.randint(2, 4)):
            url = f"https://{topic}.example/{page}"
            if _now_and_then(random, 0.3):
                yield Call(
                    "http_get",
                    {"url": url},
                    ok=False,
                    result="HTTP 404 not found",
                    host=f"{topic}.example",
                )
                yield Call(
                    "http_get",
                    {"url": f"https://{topic}.example/"},
                    result=f"contents {number}",
                    host=f"{topic}.example",
                )
            else:
                yield Call(
                    "http_get",
                    {"url": url},
                    result=f"{topic}, page {page}",
                    host=f"{topic}.example",
                )
        for name in random.sample(WORDS, 2):
            found = _now_and_then(random, 0.5)
            missing = f"[Errno 2] No such file or directory: 'notes/{name}.md'"
            yield Call(
                "read_file",
                {"path": f"notes/{name}.md"},
                ok=found,
                result=f"notes {name} {number}" if found else missing,
            )
        yield Call(
            "search", {"q": f"{topic} criticism"}, result=random.choice(["[]", json.dumps([topic])])
        )
        yield _write("report.md", f"chapter {number}: {topic}")


def refactoring(random: Random) -> Iterator[Call]:
    """Rename one thing after the other: where is it, change it, nothing left, tests still green."""
    for name in WORDS:
        files = random.sample(WORDS, random.randint(2, 4))
        yield Call("grep", {"pattern": f"get_{name}"}, result=json.dumps(files))
        for file in files:
            yield Call("read_file", {"path": f"src/{file}.py"}, result=f"{file} with get_{name}")
            yield _edit(f"src/{file}.py", f"find_{name}")
        yield Call("grep", {"pattern": f"get_{name}"}, result="[]")
        yield Call("list_files", {"path": "src"}, result=json.dumps(WORDS))
        if _now_and_then(random, 0.3):
            yield _red(files[0], "ImportError", 214)
            yield _edit(f"src/{files[0]}.py", "the import as well")
        yield _green(random, 214)


DAYS: dict[str, Day] = {
    "test-driven coding with red runs": test_driven,
    "searches that find nothing": searching,
    "polling": polling,
    "paging": paging,
    "a batch with a few bad rows": batch,
    "inbox triage": inbox,
    "data cleaning": data_cleaning,
    "ops checks": ops_checks,
    "research": research,
    "refactoring": refactoring,
}


def days(first_seed: int = 0) -> list[Trace]:
    """Make the ten days; other seeds make other days of the same sort."""
    return [
        Trace(
            name=name,
            stuck=False,
            poll={"wait_job": 150.0},
            expected=SHELL | FILES,
            calls=_whole(day, first_seed + seed),
        )
        for seed, (name, day) in enumerate(DAYS.items())
    ]


def _whole(day: Day, seed: int) -> tuple[Call, ...]:
    """Go on until the day has its calls: what is worked through is taken up again from the start."""
    random = Random(seed)  # noqa: S311 -- a working day, not a secret
    calls: list[Call] = []
    while len(calls) < CALLS_MIN:
        calls += islice(day(random), 2 * CALLS_MIN)
    return tuple(calls)


def _now_and_then(random: Random, share: float) -> bool:
    return random.random() < share


def _write(path: str, content: str) -> Call:
    return Call("write_file", {"path": path, "content": content}, result="written", changed=True)


def _edit(path: str, new: str) -> Call:
    return Call("edit_file", {"path": path, "new": new}, result="1 replaced", changed=True)


def _shell(result: str, command: str, *, changed: bool = False) -> Call:
    return Call("shell", {"command": command}, result=result, changed=changed)


def _red(name: str, error: str, others: int) -> Call:
    told = f"FAILED tests/test_{name}.py::test_{name} - {error}\n1 failed, {others} passed (exit code 1)"
    return Call("shell", {"command": "pytest -q"}, ok=False, result=told)


def _green(random: Random, passed: int) -> Call:
    return Call(
        "shell", {"command": "pytest -q"}, result=f"{passed} passed in {random.uniform(1, 9):.2f}s"
    )
