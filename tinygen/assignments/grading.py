"""Grading: one submission against all checks, many submissions in parallel, and the reports.

`grade_one` writes results.json after each check, so that whatever happens later, what was earned is
kept. `grade_all` runs it for each submission in a process of its own.
"""

import csv
import hashlib
import io
import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any, NamedTuple

import tinygen
from tinygen._files import replacing
from tinygen.assignments.checks import Check, Outcome, load, run
from tinygen.assignments.source import Assignment, code_of
from tinygen.assignments.student import LIMITS, Limits, Student

SUFFIXES = (".py", ".ipynb")
LONGEST = 600  # seconds for a whole submission
SLOW = 20  # times the solution's time: worth a look


class Result(NamedTuple):
    """One submission's outcomes, and what is to be said of the whole file."""

    assignment: Assignment
    outcomes: list[Outcome]
    remarks: list[str]

    @property
    def score(self) -> float:
        """The points of all checks."""
        return round(sum(outcome.score for outcome in self.outcomes), 2)

    @property
    def most(self) -> float:
        """The points that these checks can give."""
        return sum(outcome.check.points for outcome in self.outcomes)


def new_seed() -> int:
    """A seed that no student can know or find by trying."""
    return secrets.randbits(96)


def visible_seed(seed: int) -> int:
    """The seed of the visible checks, which students are told."""
    return int.from_bytes(hashlib.sha256(f"visible {seed}".encode()).digest()[:4], "big")


def grade_one(
    assignment: Assignment,
    source: str,
    *,
    seed: int,
    visible_only: bool = False,
    limits: Limits = LIMITS,
    after_each: Callable[[Result], None] = lambda result: None,
) -> Result:
    """Run the checks on a submission's source, with a seed for the hidden and one for the visible.

    Reports tell the seed of the visible checks, from which that of the hidden ones can't be
    derived.
    """
    tinygen.use("numpy")  # the arrays that come from students are NumPy's
    checks = load(assignment, False) + ([] if visible_only else load(assignment, True))
    seeds = {True: seed, False: seed if visible_only else visible_seed(seed)}
    references = {hidden: assignment.reference(hidden) for hidden in {c.hidden for c in checks}}
    outcomes = [Outcome(c, 0.0, "failed", ["not run"], "", 0.0, 0) for c in checks]
    with Student(assignment, source, limits) as student:
        result = Result(assignment, outcomes, student.remarks)
        after_each(result)
        began = time.monotonic()
        for k, c in enumerate(checks):
            if time.monotonic() - began > LONGEST:
                student.remarks.append(
                    f"Stopped after {LONGEST} s: the tests that follow were not run"
                )
                break
            outcomes[k] = run(c, student, references[c.hidden], seeds[c.hidden])
            after_each(result)
        if student.broken:
            student.remarks.append(student.broken)
            after_each(result)
    return result


# --- many submissions -----------------------------------------------------------------------------


class Submission(NamedTuple):
    """A student's name and file."""

    student: str
    path: Path


def submissions(folder: Path, file: str) -> list[Submission]:
    """`folder/alice/…`, `folder/alice.py` or `folder/alice.ipynb`, each a submission by alice."""
    found: list[Submission] = []
    for path in shown(folder):
        if path.is_file() and path.suffix in SUFFIXES:
            found.append(Submission(path.stem, path))
        elif path.is_dir():
            files = [p for p in all_files(path) if p.suffix in SUFFIXES]
            named = [p for p in files if p.stem == Path(file).stem]
            only = len(named or files) == 1
            found.append(Submission(path.name, (named or files)[0] if only else path / file))
    names = [submission.student for submission in found]
    if reserved := set(names) & {"grades.csv", "final_grades.csv"}:
        raise ValueError(f"{folder}: rename {reserved.pop()}: the table of grades has this name")
    if not found or len(set(names)) < len(names):
        twice = sorted({name for name in names if names.count(name) > 1})
        problem = f"two submissions of {', '.join(twice)}" if twice else "no submissions"
        raise ValueError(f"{folder}: {problem}; expected NAME.py, NAME.ipynb or NAME/{file}")
    return found


def shown(folder: Path) -> list[Path]:
    """What is in a folder, without hidden names and without links that leave it."""
    paths = [p for p in sorted(folder.iterdir()) if not p.name.startswith((".", "__"))]
    return [p for p in paths if p.resolve().is_relative_to(folder.resolve())]


def all_files(folder: Path) -> list[Path]:
    """The files in a folder and its folders, but not in `tests`."""
    found = []
    for path in shown(folder):
        if path.is_dir() and path.name != "tests":
            found += all_files(path)
        elif path.is_file():
            found.append(path)
    return found


def grade_all(
    assignment: Assignment,
    found: Sequence[Submission],
    out: Path,
    *,
    seed: int,
    jobs: int | None = None,
    limits: Limits = LIMITS,
) -> Iterator[tuple[Submission, dict[str, Any]]]:
    """Grade each submission in its own process; yield its results.json as soon as it is there."""

    workers: list[subprocess.Popen[str]] = []

    def one(submission: Submission) -> dict[str, Any]:
        folder = out / submission.student
        folder.mkdir(parents=True, exist_ok=True)
        results = folder / "results.json"
        for path in (results, folder / "report.md"):  # of an earlier grading
            path.unlink(missing_ok=True)
        command = [sys.executable, "-m", "tinygen.assignments", "grade-one"]
        command += [str(assignment.folder), str(submission.path), "--out", str(folder)]
        command += ["--seed", str(seed), "--seconds", str(limits.seconds)]
        command += ["--memory", str(limits.gigabytes)]
        variables = {"TINYGEN_BACKEND": "numpy", "OPENBLAS_NUM_THREADS": "1"}
        # no module may come from the current folder, which may be that of the submissions
        places = [str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]
        variables |= {"PYTHONSAFEPATH": "1", "PYTHONPATH": os.pathsep.join(filter(None, places))}
        worker = subprocess.Popen(
            command,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
            env=os.environ | variables,
        )
        workers.append(worker)
        try:
            _, errors = worker.communicate(timeout=2 * LONGEST)
        except subprocess.TimeoutExpired:
            worker.kill()
            errors = f"stopped after {2 * LONGEST} s"
        note = ""
        if worker.returncode:
            note = (errors.strip() or f"exit code {worker.returncode}").splitlines()[-1]
        if not results.exists():
            write_json(results, {"tests": [], "output": note or "no result"})
        graded: dict[str, Any] = json.loads(results.read_text("utf-8"))
        return graded | ({"note": note} if note else {})

    with ThreadPoolExecutor(jobs or os.cpu_count()) as pool:
        waiting = {pool.submit(one, submission): submission for submission in found}
        try:
            for future in as_completed(waiting):
                try:
                    results = future.result()
                except OSError as error:
                    results = {"tests": [], "output": "", "note": str(error)}
                yield waiting[future], results
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            for worker in workers:
                if worker.poll() is None:
                    worker.terminate()


def grade_into(
    folder: Path, assignment: Assignment, path: Path, seed: int, limits: Limits
) -> Result:
    """Grade one file; its results.json is written after every check, report.md at the end."""
    folder.mkdir(parents=True, exist_ok=True)

    def save(result: Result) -> None:
        write_json(folder / "results.json", as_gradescope(result))

    try:
        source = code_of(path)
    except (OSError, ValueError) as error:
        source = ""
        missing = f"{path.name} can't be read: {error}"
        result = grade_one(assignment, source, seed=seed, limits=limits)
        result.remarks.append(missing)
        save(result)
    else:
        result = grade_one(assignment, source, seed=seed, limits=limits, after_each=save)
    with replacing(folder / "report.md") as file:
        file.write(as_bytes(as_markdown(result, folder.name)))
    return result


# --- reports --------------------------------------------------------------------------------------


def write_json(path: Path, content: Any) -> None:
    """Write JSON atomically."""
    with replacing(path) as file:
        file.write(as_bytes(json.dumps(content, indent=1, ensure_ascii=False)))


def as_bytes(text: str) -> bytes:
    """UTF-8; half a surrogate pair, which a student's message may hold, becomes an escape."""
    return text.encode("utf-8", "backslashreplace")


def as_gradescope(result: Result) -> dict[str, Any]:
    """results.json in Gradescope's format; the seconds are `extra_data`."""
    return {
        "output": "\n".join([*result.remarks, summary(result)]),
        "execution_time": round(sum(o.seconds for o in result.outcomes)),
        "tests": [
            {
                "name": o.check.name,
                "number": str(o.check.question),
                "score": o.score,
                "max_score": o.check.points,
                "status": "passed" if o.status == "passed" else "failed",
                "output": o.text
                if o.check.hidden or not o.text
                else f"{o.text}\n(--seed {o.seed})",
                "visibility": "after_due_date" if o.check.hidden else "visible",
                "extra_data": {"seconds": round(o.seconds, 4)},
            }
            for o in result.outcomes
        ],
    }


def summary(result: Result) -> str:
    """How many of the visible tests pass, and what the hidden ones are worth."""
    visible = [o for o in result.outcomes if not o.check.hidden]
    passed = sum(o.status == "passed" for o in visible)
    points = result.assignment.points
    hidden = points - sum(o.check.points for o in visible)
    every = "All" if passed == len(visible) else f"{passed} of"
    text = f"{every} {len(visible)} visible tests pass."
    return f"{text} Hidden tests decide over {hidden:g} of {points:g} points." if hidden else text


def as_markdown(result: Result, student: str) -> str:
    """A report for the student, to be handed out after the due date."""
    lines = [f"# {student}: assignment {result.assignment.number}, {result.assignment.title}", ""]
    lines += [f"**{result.score:g} of {result.most:g} points**", ""]
    lines += [f"- {remark}" for remark in result.remarks]
    for question in result.assignment.questions:
        own = [o for o in result.outcomes if o.check.question == question.number]
        score, most = sum(o.score for o in own), sum(o.check.points for o in own)
        lines += ["", f"## {question.number}. {question.title}: {score:g} of {most:g}", ""]
        for o in own:
            mark, kind = (
                "✓" if o.status == "passed" else "✗",
                "hidden" if o.check.hidden else "visible",
            )
            lines.append(f"{mark} **{o.check.name}** ({kind}): {o.score:g} of {o.check.points:g}")
            if o.messages or o.printed:
                lines += ["", *(f"    {line}" for line in o.text.splitlines())]
                lines += [f"    (seed {o.seed})"]
            lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def as_table(
    assignment: Assignment,
    rows: Sequence[tuple[Submission, dict[str, Any]]],
    solution: Result,
    otter: bool = False,
) -> str:
    """All submissions as CSV: our columns, or those of Otter's final_grades.csv."""
    numbers = [question.number for question in assignment.questions]
    text = io.StringIO()
    out = csv.writer(text, lineterminator="\n")

    def write(*cells: Any) -> None:  # no cell is a formula to a spreadsheet
        out.writerow(
            [f"'{c}" if str(c).startswith(("=", "+", "@", "-")) and c != "--" else c for c in cells]
        )

    if otter:
        titles = [f"q{n}" for n in numbers]
        write("file", *titles, "total_points_earned", "percent_correct", "grading_status")
        most = {q.number: q.points for q in assignment.questions}
        write("points-per-question", *most.values(), assignment.points, 1, "--")
    else:
        titles = [f"question {n}" for n in numbers]
        write("student", *titles, "points", "of", "slowest", "remarks")
    usual = {(o.check.question, o.check.name): o.seconds for o in solution.outcomes}
    for submission, results in sorted(rows, key=lambda row: row[0].student):
        tests = results["tests"]
        scores = [sum(t["score"] for t in tests if t["number"] == str(n)) for n in numbers]
        total = round(sum(scores), 2)
        points = [f"{score:g}" for score in [*scores, total]]
        note = results.get("note", "")
        if otter:
            percent = f"{total / assignment.points:.4f}"
            write(submission.path.name, *points, percent, note or "Completed")
        else:
            times = [
                (
                    t["extra_data"]["seconds"] / max(usual[int(t["number"]), t["name"]], 0.005),
                    t["name"],
                )
                for t in tests
            ]
            ratio, slowest = max(times, default=(0.0, ""))
            slow = f"{ratio:.0f} times the solution's time: {slowest}" if ratio > SLOW else ""
            *remarks, _ = results.get("output", "").splitlines() or [""]
            said = "; ".join(filter(None, [note, *remarks]))
            write(submission.student, *points, f"{assignment.points:g}", slow, said)
    return text.getvalue()


def wrong_points(assignment: Assignment, checks: Sequence[Check]) -> list[str]:
    """Questions whose checks do not add up to the points in their title."""
    found = []
    for question in assignment.questions:
        points = sum(c.points for c in checks if c.question == question.number)
        if abs(points - question.points) > 1e-9:
            found.append(
                f"question {question.number} has {question.points} points, its checks {points:g}"
            )
    known = {question.number for question in assignment.questions}
    found += [f"{c.name!r} is of question {c.question}" for c in checks if c.question not in known]
    return found
