"""The `watch` step: windows of rows and the newest period's signals, what both say, and where it is kept.

It runs last in the training pipeline, and alone when drift is watched. It reports a verdict; it never stops a run or
moves an alias: a pipeline decides what follows from a verdict. Windows tell a slow move, signals a fault of yesterday:
a fault of the data that signals tell is `faulty` whatever the windows say, since nothing may be trained on it.
"""

import html
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from components import verdicts
from components.registry import heartbeats
from components.registry.spec import DRY_RUN
from components.step import step
from components.verdicts import Sample
from feature_repo import columns, env_names, files
from monitoring import announcement
from monitoring.drift import board, watch_record, workspace
from monitoring.drift.compare import Drift, compare, least_of
from monitoring.drift.served_window import ServedWindow, last_window
from monitoring.drift.watch_record import PeriodValues, WatchRecord
from monitoring.drift.window import Window, calendar_of, windows
from monitoring.drift_verdicts import DRIFTED, FAULTY, LOST, WORDS, Verdict, class_of
from monitoring.reason_classes import DATA_FAULT, REASONS
from monitoring.spec import Monitoring

NOTHING: dict[str, Any] = {}


def watch(
    name: str,
    monitoring: str,
    *,
    release: str,
    rows: str,
    verdict: str,
    report: str,
    log_metric: Callable[[str, float], None],
    mode: str = "",
    clean: str = "",
    tables: str = "",
    intent: str = "",
) -> None:
    """Compare the current window with the reference; write drift.json and the page, add the run to the workspace.

    With `clean` the newest period is judged by its signals too; of `tables`, the source's own, and of `intent`, a model
    folder, there are some where they are given. A dry run leaves the artifacts and nothing else: no run in the
    workspace, no mark of the verdict, no line in the history. A pipeline that 0.1 compiled gives no mode, one of 0.2 no
    tables.
    """
    with step("watch") as progress:
        kept_at = "" if mode == DRY_RUN else workspace.address()
        spec = Monitoring.model_validate_json(monitoring)
        reference, current = windows(Path(rows), served=_served(Path(rows), spec))
        progress.at(0.4, f"{len(reference.frame)} and {len(current.frame)} user-weeks")
        facts = _facts(release, spec, reference=reference, current=current)
        key = files.digest(facts)
        about = {
            "release": release,
            "reference": str(reference),
            "current": str(current),
            "spec": facts["spec"],
            workspace.KEY: key,
        }
        drift = compare(current.frame, reference.frame, spec=spec, at=current.last, metadata=about)
        progress.at(0.6, drift.verdict)
        signals, past = None, list[PeriodValues]()
        if clean and spec.signals.watched:
            signals, past = _signals(
                name, spec, _folders(rows, clean, tables, intent), release=release, keep=mode != DRY_RUN
            )
        word, reason = _together(drift, signals)
        title = f"{name}: {current.kind} weeks {current.weeks[0]}-{current.weeks[1]}: {word}"
        progress.at(0.8, word)
        kept = _kept(drift, address=kept_at, name=name, title=title, key=key)
        with files.written_folder(Path(verdict)) as folder:
            document = drift.document() | facts | {"at": current.last.isoformat(), "workspace": kept}
            said = {"verdict": word, "word": WORDS[word], "reason": reason}
            document |= said | _document(signals, word, windows=drift.verdict)
            files.write_json(folder / "drift.json", document)
        with files.written(Path(report)) as part:
            part.write_text(page(drift, title=title, word=word, reason=reason, signals=signals))
        log_metric("drift.share", drift.share)
        for column, found in drift.columns.items():
            if found.score is not None:
                log_metric(f"drift.{column}", found.score)
        if signals is not None:
            log_metric("drift.signals", float(len(signals.alarms)))
        if mode != DRY_RUN:
            heartbeats.drift(
                name,
                verdict=word,
                share=drift.share,
                drifted=len(drift.drifted),
                lost=drift.lost,
                compared=len(drift.columns),
                release=release,
                signals=_mark(signals, word),
            )
        announcement.announce(name, spec, document, folder=Path(verdict), history=past, dry=mode == DRY_RUN)
        if kept_at:
            checked = (
                [board.of_check(drift, at=current.last, learned=reference.last, spec=spec)] if drift.columns else []
            )
            points = [*board.of_periods(past, spec), *checked]
            workspace.show(points, spec, address=kept_at, name=name, secret=os.environ.get(workspace.SECRET))
        progress.count(rows_in=sum(drift.rows.values()), verdict=word, drifted_share=drift.share, drifted=drift.drifted)
        progress.count(**drift.rows)
        progress.tell(
            verdict=word, reason=reason, drifted=list(drift.drifted), compared=len(drift.columns), workspace=kept,
            **NOTHING if signals is None else {"class": signals.reason, "alarms": [v.signal for v in signals.alarms]},
        )  # fmt: skip


def _folders(rows: str, clean: str, tables: str, intent: str) -> Any:
    """Name what signals are read from; the request log is the store's that doors ship to, else the state folder's."""
    from monitoring.drift.run_folders import Folders

    home = os.environ.get(env_names.HOME)
    return Folders(
        Path(clean),
        Path(rows),
        tables=Path(tables) if tables else None,
        intent=Path(intent) if intent else None,
        log=Path(home) / columns.REQUESTS_FOLDER if home else None,
        store=os.environ.get(env_names.REQUESTS_URL, ""),
    )


def _signals(
    name: str, spec: Monitoring, folders: Any, *, release: str, keep: bool
) -> tuple[WatchRecord, list[PeriodValues]]:
    """Judge the newest period by its signals, and keep them and what they say in the state folder where there is one.

    The history is returned too, of this snapshot alone where there is no state folder.
    """
    from monitoring.drift import watching

    home = Path(os.environ[env_names.HOME]) if os.environ.get(env_names.HOME) else None
    record, history = watching.watch(name, folders, spec, release=release, home=home)
    if keep and home is not None:
        watch_record.add(home, history)
        watch_record.keep_last(home, record)
    return record, history if home is None else watch_record.history(home) or history


def _together(drift: Drift, signals: WatchRecord | None) -> tuple[Verdict, str]:
    """Return one verdict and its reason: a lost column first, then what signals say, then what windows say."""
    if signals is None or drift.verdict == LOST or not signals.alarms:
        return drift.verdict, drift.reason
    word: Verdict = FAULTY if signals.reason == DATA_FAULT else DRIFTED
    assert signals.reason in REASONS, signals.reason
    return word, f"{signals.told()}; windows: {drift.reason or drift.verdict}"


def _document(signals: WatchRecord | None, word: Verdict, *, windows: str) -> dict[str, Any]:
    """Return what drift.json says of signals; nothing where they were not watched. The class is that of the whole."""
    if signals is None:
        return {}
    reason = class_of({"verdict": word, "class": signals.reason})
    return {"class": reason, "signals": signals.document(), "windows": windows}


def _mark(signals: WatchRecord | None, word: Verdict) -> dict[str, Any] | None:
    if signals is None:
        return None
    alarms = [v.signal for v in signals.alarms[: heartbeats.MOST_NAMED]]
    reason = class_of({"verdict": word, "class": signals.reason})
    return {"class": reason, "alarms": alarms, "period": signals.starts}


def _served(rows: Path, spec: Monitoring) -> ServedWindow | None:
    """Return the last served window if it is large enough for a verdict; None: compare the test weeks."""
    home = os.environ.get(env_names.HOME)
    if not home:
        return None
    targets = len(files.read_json(rows / "vocabulary" / "targets.json"))
    log = Path(home) / columns.REQUESTS_FOLDER
    found = last_window(log, calendar=calendar_of(rows), targets=targets, limit=spec.sample)
    if found is None:
        return None
    behind = Sample(None, None, len(found.rows), len(set(found.rows.user_id)))
    return None if verdicts.too_little(behind, least_of(spec)) else found


# Evidently lays its report out for some 1,050 px and cuts what its place has no room for, as in Kubeflow's side panel:
# there the report is drawn smaller, and what still does not fit can be scrolled to.
FITTING = (
    "<style>body{overflow-x:auto}[id^=root_metric_]{min-width:1050px}"
    "@media(max-width:1080px){[id^=root_metric_]{zoom:.75}}"
    "@media(max-width:820px){[id^=root_metric_]{zoom:.6}}"
    "@media(max-width:660px){[id^=root_metric_]{zoom:.5}}</style>"
)
VIEWPORT = '<meta name="viewport" content="width=device-width, initial-scale=1">'


def page(drift: Drift, *, title: str, word: str = "", reason: str = "", signals: WatchRecord | None = None) -> str:
    """Return one self-contained page: the verdict and the signals that moved above Evidently's own report."""
    moved = () if signals is None else signals.verdicts
    listed = "".join(f"<li>{html.escape(v.told())}</li>" for v in moved)
    banner = (
        f'<div id="verdict" data-verdict="{word or drift.verdict}" style="font:16px sans-serif;padding:12px 24px">'
        f"<h2>{html.escape(title)}</h2><p>{html.escape(reason or drift.reason)}</p>"
        + (f'<ul id="signals">{listed}</ul>' if listed else "")
        + "</div>"
    )
    if drift.snapshot is None:
        head = f'<head><meta charset="utf-8">{VIEWPORT}</head>'
        return f"<!doctype html><html>{head}<body>{banner}</body></html>\n"
    report: str = drift.snapshot.get_html_str(as_iframe=False)
    return report.replace("<body>", f"<body>{FITTING}{banner}", 1)


def _facts(release: str, spec: Monitoring, *, reference: Window, current: Window) -> dict[str, Any]:
    """Return what names a comparison: the same facts give the same result and are kept once."""
    return {
        "release": release,
        # whom it is told changes no comparison, and windows read neither signals nor the calendar
        "spec": files.digest(spec.model_dump(mode="json", exclude={"notify", "signals", "calendar"})),
        "reference": reference.document(),
        "current": current.document(),
    }


def _kept(drift: Drift, *, address: str, name: str, title: str, key: str) -> dict[str, Any] | None:
    """Keep the run in the workspace; a comparison without data has no run to keep, a dry run has no workspace."""
    if drift.snapshot is None or not address:
        return None
    secret = os.environ.get(workspace.SECRET)
    kept = workspace.keep(drift.snapshot, address=address, name=name, title=title, key=key, secret=secret)
    return {"address": kept.address, "project": kept.project, "run": kept.run}
