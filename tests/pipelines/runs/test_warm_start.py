"""Steps of a local run as forks: each a process of its own, as a new Python would be, and none left behind."""

import ast
import contextlib
import functools
import io
import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import psutil
import pytest
from kfp import dsl

from feature_repo.errors import SpecError
from pipelines import environment
from pipelines.graphs import index
from pipelines.graphs.step_table import STEPS
from pipelines.runs import local as local_runs
from pipelines.runs import warm_start
from pipelines.runs.step_forks import PRELOADED, StepProgram
from pipelines.runs.warm_start import MEASURED, Starter, program_of, starter, warm
from tests.patience import patient

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(not warm_start.available(), reason="this platform starts steps as new processes"),
]
ROOT = Path(__file__).parents[3]
GROCERY = ROOT / "pipelines" / "specs" / "grocery.yaml"
LIGHT = ("kfp.dsl.executor_main",)
SOURCE = "from kfp.dsl import *\n\ndef body(code: str):\n    exec(code, {})\n"


def step(code: str, folder: Path, **environment: str) -> StepProgram:
    """Return a step whose component runs the code."""
    given = {
        "inputs": {"parameterValues": {"code": textwrap.dedent(code)}},
        "outputs": {"outputFile": f"{folder}/output.json"},
    }
    arguments = ["--executor_input", json.dumps(given), "--function_to_execute", "body"]
    variables = {"PATH": os.environ["PATH"], "_KFP_RUNTIME": "true", **environment}
    return StepProgram(source=SOURCE, arguments=arguments, environment=variables, folder=str(folder))


def ran(steps: Starter, program: StepProgram) -> tuple[int, str]:
    """Run a step; return its exit status and all that it printed."""
    with contextlib.redirect_stdout(io.StringIO()) as out:
        code = steps.run(program)
    return code, out.getvalue()


def told(steps: Starter, program: StepProgram) -> list[str]:
    """Run a step that succeeds; return the lines that it told: kfp's executor prints others around them."""
    code, output = ran(steps, program)
    assert code == 0, output
    return [line.removeprefix("> ") for line in output.splitlines() if line.startswith("> ")]


def gone(pid: int) -> bool:
    """Wait until a process has ended."""
    until = time.monotonic() + patient(10)
    while time.monotonic() < until:
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.05)
    return False


def appears(path: Path) -> str:
    """Wait for a file and return its text."""
    until = time.monotonic() + patient(30)
    while not (path.is_file() and path.read_text()) and time.monotonic() < until:
        time.sleep(0.05)
    return path.read_text()


@pytest.fixture(scope="module")
def steps() -> Iterator[Starter]:
    with starter(LIGHT) as found:
        assert found.ready()
        yield found


@pytest.fixture(scope="module")
def loaded() -> Iterator[Starter]:
    """With all libraries of a run."""
    with starter() as found:
        yield found


def test_importing_the_libraries_leaves_one_thread_and_no_open_file(
    loaded: Starter, caplog: pytest.LogCaptureFixture
) -> None:
    assert loaded.ready(), caplog.text
    assert len(psutil.Process(loaded.process.pid).threads()) == 1
    assert psutil.Process(loaded.process.pid).children() == []


def test_a_forked_step_has_every_library_and_may_use_its_threads(loaded: Starter, tmp_path: Path) -> None:
    code = f"""
        import sys
        print(">", [name for name in {PRELOADED!r} if name not in sys.modules])
        import duckdb, numpy, torch
        torch.set_num_threads(2)
        weights = torch.nn.Parameter(torch.ones(300, 300))
        (weights @ torch.ones(300, 300)).sum().backward()
        print(">", torch.cuda.is_initialized(), float(weights.grad.sum()), duckdb.sql("select 42").fetchall())
        print(">", numpy.ones((300, 300)).dot(numpy.ones((300, 300))).sum())
        print(">", numpy.random.random())
    """
    first, second = (told(loaded, step(code, tmp_path, OMP_NUM_THREADS="2")) for _ in range(2))
    assert first[:3] == second[:3] == ["[]", "False 27000000.0 [(42,)]", "27000000.0"]
    assert first[3] != second[3]  # each draws its own random numbers


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("threading.Thread(target=time.sleep, args=(60,), daemon=True).start()", "2 threads: python, python"),
        ("kept = open('/etc/hostname')", "open files: /etc/hostname"),
        ("", ""),
    ],
)
def test_what_is_in_the_way_of_a_fork_is_named(code: str, reason: str) -> None:
    program = f"import threading, time\nfrom pipelines.runs.step_forks import in_the_way\n{code}\nprint(in_the_way(()))"
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=patient(60))
    assert done.stdout.strip().replace(Path(sys.executable).name, "python") == reason


def test_a_library_that_starts_a_thread_makes_steps_new_processes_and_the_log_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "busy.py").write_text(
        "import threading, time\nthreading.Thread(target=time.sleep, args=(60,), daemon=True).start()\n"
    )
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), str(ROOT)]))
    with starter((*LIGHT, "busy")) as found:
        assert not found.ready()
    assert "steps start as new processes: 2 threads" in caplog.text


def test_a_run_that_ends_before_its_first_step_waits_for_no_import(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "long.py").write_text("import time\ntime.sleep(600)\n")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), str(ROOT)]))
    with starter((*LIGHT, "long")) as found:
        pass
    assert found.process.returncode == -signal.SIGKILL


def test_a_library_that_is_absent_makes_steps_new_processes_and_the_log_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with starter(("no_such_library",)) as found:
        assert not found.ready()
    assert "steps start as new processes: " in caplog.text
    assert "No module named 'no_such_library'" in caplog.text


def test_a_step_has_its_own_variables_folder_and_process_and_leaves_nothing_to_the_next(
    steps: Starter, tmp_path: Path
) -> None:
    code = """
        import os, sys
        print(">", sorted(os.environ), os.getcwd(), os.getppid(), len(sys.argv), hasattr(sys, "left"))
        print(">", os.getpid())
        print(">", sorted(os.listdir("/proc/self/fd"), key=int)[:-1], file=sys.stderr)
        sys.left, os.environ["LEFT"] = True, "1"
    """
    first, second = (sorted(told(steps, step(code, tmp_path, OWN="1"))) for _ in range(2))
    facts = f"['OWN', 'PATH', '_KFP_RUNTIME'] {tmp_path} {steps.process.pid} 7 False"
    files = "['0', '1', '2']"  # the first is the run's own, as it would be a new process's
    assert {facts, files} < set(first)
    assert {facts, files} < set(second)
    assert set(first) - {facts, files} != set(second) - {facts, files}  # their numbers


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("raise ValueError('as it is')", 1),
        ("raise SystemExit(3)", 3),
        ("raise SystemExit('a word')", 1),
        ("raise SystemExit", 0),
        ("import os; os.kill(os.getpid(), 9)", -9),
        ("import signal, os; os.kill(os.getpid(), signal.SIGTERM)", -15),
    ],
)
def test_a_step_ends_as_a_process_of_its_own_would(steps: Starter, tmp_path: Path, code: str, status: int) -> None:
    found, output = ran(steps, step(code, tmp_path))
    assert found == status
    assert ("ValueError: as it is" in output) == ("ValueError" in code)
    assert told(steps, step("print('> the next')", tmp_path)) == ["the next"]


def test_what_a_step_registered_for_its_end_runs_and_its_source_is_not_left(steps: Starter, tmp_path: Path) -> None:
    code = """
        import atexit, sys, threading, time
        atexit.register(print, "> at the end")
        threading.Thread(target=lambda: (time.sleep(0.2), print("> in a thread"))).start()
        print(">", sys.modules["ephemeral_component"].__file__)
    """
    path, *last = told(steps, step(code, tmp_path))
    assert last == ["in a thread", "at the end"]
    assert not Path(path).parent.exists()


def test_steps_run_beside_each_other(steps: Starter, tmp_path: Path) -> None:
    waits = "import pathlib, time\nwhile not pathlib.Path('go').exists(): time.sleep(0.02)"
    codes: list[int] = []
    with contextlib.redirect_stdout(io.StringIO()):
        first = threading.Thread(target=lambda: codes.append(steps.run(step(waits, tmp_path))))
        first.start()
        assert steps.run(step("import pathlib; pathlib.Path('go').touch()", tmp_path)) == 0
        first.join(patient(30))
    assert codes == [0]


RUN = """
    import json, sys
    from pathlib import Path
    from pipelines.runs.warm_start import StepProgram, starter
    with starter(sys.argv[2:]) as steps:
        assert steps.ready()
        Path("starter.pid").write_text(str(steps.process.pid))
        steps.run(StepProgram(**json.loads(sys.argv[1])))
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_run_that_ends_leaves_no_step_and_no_starter(tmp_path: Path, number: signal.Signals) -> None:
    """Ctrl-C reaches the whole group, as a terminal sends it; the others only the run."""
    code = "import os, pathlib, time; pathlib.Path('step.pid').write_text(str(os.getpid())); time.sleep(600)"
    command = [sys.executable, "-c", textwrap.dedent(RUN), json.dumps(asdict(step(code, tmp_path))), *LIGHT]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    # What is started in the background, as CI may be, hands on that Ctrl-C is nothing to it.
    heeds = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment, start_new_session=True, stderr=-3, preexec_fn=heeds
    ) as run:
        pids = [int(appears(tmp_path / name)) for name in ("step.pid", "starter.pid")]
        (os.killpg if number == signal.SIGINT else os.kill)(run.pid, number)
        assert run.wait(patient(30)) == -number
        assert [gone(pid) for pid in pids] == [True, True]


def test_a_starter_that_is_killed_takes_its_step_along_and_later_steps_are_new_processes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    code = """
        import os, pathlib, signal, time
        pathlib.Path("step.pid").write_text(str(os.getpid()))
        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(600)
    """
    with starter(LIGHT) as steps:
        assert steps.ready()
        assert ran(steps, step(code, tmp_path))[0] == 1
        assert gone(int((tmp_path / "step.pid").read_text()))
        assert not steps.ready()
    assert "steps start as new processes from here on: the process that forks them ended with status -9" in caplog.text


def command_of(packages: list[str] | None = None) -> list[str]:
    """Return kfp's command of a component."""

    def tell(word: str) -> str:
        import os

        print(f"{word} of {os.getppid()}")
        return word

    made = dsl.component(tell, base_image="python", install_kfp_package=False, packages_to_install=packages)
    container = made.component_spec.implementation.container
    return [*container.command, *container.args]


def test_kfps_command_is_read_and_one_that_installs_packages_is_left_to_kfp() -> None:
    program = program_of(command_of(), {"MORE": "1"})
    assert program is not None
    assert "def tell(word: str)" in program.source
    assert program.arguments[0::2] == ["--executor_input", "--function_to_execute"]
    assert program.environment == os.environ | {"MORE": "1", "_KFP_RUNTIME": "true"}
    assert program_of(command_of(["humanize"]), {}) is None
    assert program_of(["sh", "-c", "echo"], {}) is None


def calls(name: str) -> list[str]:
    """Name the functions of components that call another, by its name there."""
    trees = [ast.parse(path.read_text()) for path in sorted((ROOT / "components").glob("*/*.py"))]
    functions = [one for tree in trees for one in tree.body if isinstance(one, ast.FunctionDef)]
    return [
        one.name
        for one in functions
        if any(isinstance(node, ast.Call) and ast.unparse(node.func) == name for node in ast.walk(one))
    ]


def test_the_steps_that_measure_the_memory_of_their_process_are_new_processes() -> None:
    """kfp calls a step by its component's function; what does its work is called run_<that>."""
    assert calls("measure.growth") == ["judge", "judge"]
    assert [name.removeprefix("run_") for name in calls("judge")] == list(MEASURED)
    assert set(MEASURED) < {row.function for row in STEPS.values()}
    for name in MEASURED:
        assert program_of([*command_of()[:-1], name], {}) is None


@pytest.mark.parametrize("wanted", [True, False])
def test_kfps_local_runner_starts_steps_warm_while_the_block_lasts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wanted: bool
) -> None:
    from kfp import local
    from kfp.local import subprocess_task_handler

    cold, started, asked = subprocess_task_handler.run_local_subprocess, [], Starter.run
    monkeypatch.setattr(warm_start, "starter", lambda: starter(LIGHT))
    monkeypatch.setattr(Starter, "run", lambda self, program: started.append(program) or asked(self, program))

    @dsl.component(base_image="python", install_kfp_package=False)
    def twice(word: str) -> str:
        return word + word

    local.init(local.SubprocessRunner(use_venv=False), pipeline_root=str(tmp_path))
    with warm(wanted=wanted):
        assert twice(word="ab").output == "abab"
    assert len(started) == wanted
    assert subprocess_task_handler.run_local_subprocess is cold


class Asked(Exception):
    """What `warm` was asked for."""


@pytest.mark.parametrize(("line", "wanted"), [("", True), ("runner: warm\n", True), ("runner: subprocess\n", False)])
def test_the_environment_file_says_how_steps_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, wanted: bool
) -> None:
    def asked(*, wanted: bool) -> None:
        raise Asked(wanted)

    monkeypatch.setattr(local_runs, "warm", asked)
    path = tmp_path / "own.yaml"
    path.write_text((environment.FOLDER / "local.yaml").read_text() + line)
    at = environment.place(GROCERY, str(path), variables={"INTENTFLOW_STATE": str(tmp_path)})
    with pytest.raises(Asked, match=str(wanted)):
        local_runs._execute(at, index.pipeline("train"), {}, local_runs.Left())


def test_another_word_for_how_steps_start_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text((environment.FOLDER / "local.yaml").read_text() + "runner: fork\n")
    with pytest.raises(
        SpecError, match=r"^\S*own.yaml: runner: 'fork' is not allowed; use 'warm' or 'subprocess'$"
    ) as found:
        environment.place(GROCERY, str(path), variables={"INTENTFLOW_STATE": str(tmp_path)})
    assert "\n" not in str(found.value)


def test_where_the_platform_cannot_steps_are_new_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    from kfp.local import subprocess_task_handler

    cold = subprocess_task_handler.run_local_subprocess
    monkeypatch.setattr(sys, "platform", "darwin")
    with warm():
        assert subprocess_task_handler.run_local_subprocess is cold
