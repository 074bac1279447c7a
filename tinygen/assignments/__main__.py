"""The commands of the kit: `python -m tinygen.assignments --help`."""

import argparse
import io
import signal
import sys
from pathlib import Path

from tinygen._files import replacing
from tinygen.assignments import trial
from tinygen.assignments.grading import (
    Submission,
    as_bytes,
    as_table,
    grade_all,
    grade_into,
    grade_one,
    new_seed,
    submissions,
)
from tinygen.assignments.handout import hand_out, new
from tinygen.assignments.source import TITLE, Assignment, code_of, shipped
from tinygen.assignments.student import LIMITS, Limits
from tinygen.assignments.visible import run_visible


def chosen(which: str) -> Assignment:
    """The shipped assignment of this number, or that in this folder."""
    for assignment in shipped():
        if assignment.number == which:
            return assignment
    if Path(which).is_dir():
        return Assignment(which)
    numbers = ", ".join(assignment.number for assignment in shipped())
    raise ValueError(f"{which!r} is neither an assignment ({numbers}) nor a folder with one")


def guessed(found: list[Submission]) -> Assignment:
    """The shipped assignment that the submissions say they solve."""
    titles = set()
    for submission in found:
        try:
            titles |= {title[1] for title in TITLE.finditer(code_of(submission.path))}
        except (OSError, ValueError):
            continue
    known = {assignment.number: assignment for assignment in shipped()}
    if len(titles) == 1 and (number := titles.pop()) in known:
        return known[number]
    raise ValueError("the submissions don't say which assignment they solve: use --assignment")


def positive(text: str) -> float:
    """A number above 0 and below a million."""
    if not 0 < float(text) < 1e6:
        raise ValueError
    return float(text)


def natural(text: str) -> int:
    """A number that is not negative."""
    if int(text) < 0:
        raise ValueError
    return int(text)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(prog="python -m tinygen.assignments", description=__doc__)
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(name: str, text: str) -> argparse.ArgumentParser:
        return commands.add_parser(name, help=text, description=text)

    def add_limits(p: argparse.ArgumentParser) -> None:
        p.add_argument("--seconds", type=positive, default=LIMITS.seconds, help="limit of a call")
        p.add_argument("--memory", type=positive, default=LIMITS.gigabytes, help="limit, in GB")
        p.add_argument("--seed", type=natural, help="of the hidden tests (default: secret)")

    add("list", "list the assignments")
    p = add("handout", "write the student's copy")
    p.add_argument("assignment", help="number, or a folder with your own")
    p.add_argument("--to", type=Path, required=True, help="folder to write")
    p.add_argument("--notebook", action="store_true", help="a Jupyter notebook, not a .py file")
    p.add_argument("--install", default="tinygen", help="what pip installs (default: tinygen)")
    p = add("check", "run the visible tests, in a handout's folder")
    p.add_argument("file", type=Path, nargs="?", help="the student's file (default: found)")
    p.add_argument("--seed", type=natural, default=0, help="random seed of the tests (default: 0)")
    p = add("grade", "grade all submissions in a folder")
    p.add_argument("submissions", type=Path, help="folder with NAME.py, NAME.ipynb or NAME/FILE.py")
    p.add_argument("--out", type=Path, required=True, help="folder for the grades")
    p.add_argument("--assignment", help="number or folder (default: read from the submissions)")
    p.add_argument("--jobs", type=natural, help="submissions graded at a time (default: all cores)")
    p.add_argument("--otter", action="store_true", help="final_grades.csv with Otter's columns")
    add_limits(p)
    p = add("try", "test an assignment: its solution, its blank, known mistakes and cheats")
    p.add_argument("assignment", help="number, or a folder with your own")
    p.add_argument("--only", action="append", default=[], help='one of them, as "mistakes/NAME"')
    add_limits(p)
    p = add("new", "make an assignment from a solution with # BEGIN SOLUTION, # END SOLUTION")
    p.add_argument("solution", type=Path)
    p.add_argument("--to", type=Path, help="folder to write (default: named after the solution)")
    p = add("grade-one", "grade one submission, as `grade` does and Gradescope needs")
    p.add_argument("assignment")
    p.add_argument("submission", type=Path)
    p.add_argument("--out", type=Path, required=True, help="folder for results.json and report.md")
    add_limits(p)
    return top


def list_all() -> None:
    """A table of the assignments."""
    print(f"{'':3}{'assignment':48}{'points':>7}{'questions':>11}{'minutes':>9}")
    for a in shipped():
        print(f"{a.number:3}{a.title:48}{a.points:7}{len(a.questions):11}{a.minutes:9}")


def grade(args: argparse.Namespace) -> int:
    """Grade all; the solution first, which must get all points here."""
    if not args.submissions.is_dir():
        raise ValueError(f"{args.submissions} is not a folder")
    named = chosen(args.assignment) if args.assignment else None
    found = submissions(args.submissions, named.file if named else "assignment.py")
    assignment = named or guessed(found)
    found = submissions(args.submissions, assignment.file)
    limits, seed = Limits(args.seconds, args.memory), new_seed() if args.seed is None else args.seed
    assert assignment.solution is not None
    solution = grade_one(assignment, assignment.solution, seed=seed, limits=limits)
    if solution.score < solution.most:
        wrong = next(o for o in solution.outcomes if o.status != "passed")
        raise ValueError(f"the solution itself fails {wrong.check.name!r}: {wrong.text}")
    print(f"Assignment {assignment.number}: {len(found)} submissions; limits: {limits}.")
    rows = []
    table = args.out / ("final_grades.csv" if args.otter else "grades.csv")
    try:
        for submission, results in grade_all(
            assignment, found, args.out, seed=seed, jobs=args.jobs, limits=limits
        ):
            rows.append((submission, results))
            score = sum(test["score"] for test in results["tests"])
            note = f"  {results['note']}" if "note" in results else ""
            print(f"{score:6g} of {assignment.points}  {submission.student}{note}", flush=True)
    finally:
        with replacing(table) as file:
            file.write(as_bytes(as_table(assignment, rows, solution, args.otter)))
        print(f"{table}; reports are beside it. To repeat: --seed {seed}")
    return 0


def try_assignment(args: argparse.Namespace) -> int:
    """Print each trial, and what was not as expected."""
    assignment = chosen(args.assignment)
    if assignment.solution is None:
        raise ValueError(f"{assignment.folder} is a handout: `try` needs the solution")
    wrong = 0
    for tried in trial.try_out(
        assignment,
        seed=new_seed() if args.seed is None else args.seed,
        only=args.only,
        limits=Limits(args.seconds, args.memory),
    ):
        wrong += bool(tried.problems)
        mark, result = "✗" if tried.problems else "✓", tried.result
        print(f"{mark} {tried.name:42} {result.score:g} of {result.most:g}", flush=True)
        for problem in tried.problems:
            print("    " + problem.replace("\n", "\n    "))
    print("All as expected." if not wrong else f"{wrong} not as expected.")
    return int(wrong > 0)


def interrupt(*_: object) -> None:
    """End like Ctrl-C, so that students' processes end too."""
    raise KeyboardInterrupt


def main(arguments: list[str] | None = None) -> int:
    """Run one command; return the exit code."""
    args = parser().parse_args(arguments)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal may lack ✓
    try:
        match args.command:
            case "list":
                list_all()
            case "handout":
                options = {"as_notebook": args.notebook, "install": args.install}
                file = hand_out(chosen(args.assignment), args.to, **options)
                print(f"{file} is the student's file; {args.to / 'README.md'} says how to begin.")
            case "check":
                return int(not run_visible(args.file, args.seed))
            case "grade":
                return grade(args)
            case "try":
                return try_assignment(args)
            case "new":
                to = args.to or args.solution.with_suffix("")
                left = new(args.solution, to)
                left.append(f"python -m tinygen.assignments try {to}")
                print("\n- ".join([f"{to} has the assignment. Next:", *left]))
            case "grade-one":
                seed = new_seed() if args.seed is None else args.seed
                limits = Limits(args.seconds, args.memory)
                grade_into(args.out, chosen(args.assignment), args.submission, seed, limits)
    except KeyboardInterrupt:
        print(f"{args.command}: interrupted", file=sys.stderr)
        return 130
    except (ValueError, OSError) as error:
        print(f"{args.command}: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, interrupt)
    sys.exit(main())
