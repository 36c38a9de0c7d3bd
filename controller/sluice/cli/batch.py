"""`sluice batch`: a whole file through a model."""

from __future__ import annotations

import os
import sys
import threading
import uuid
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from sluice.batch import payloads, reading, writing
from sluice.batch.csv_rows import TYPES
from sluice.batch.journal import Progress
from sluice.batch.pace import Pace, Weather
from sluice.batch.run import Limits, Run
from sluice.batch.sending import Sender
from sluice.batch.wire import Access, Wire
from sluice.cli.batch_end import Job, signals
from sluice.cli.batch_place import Place
from sluice.cli.batch_progress import Meter
from sluice.cli.batch_target import DEFAULT_GATEWAY, Target
from sluice.cli.options import (
    Context,
    Kubeconfig,
    Namespace,
    Output,
    complete_names,
    duration,
)
from sluice.clock import SystemClock
from sluice.errors import SluiceError, UsageError

_ROWS_FAILED, _INTERRUPTED, _TERMINATED = 1, 130, 143


class Method(StrEnum):
    """What the model is asked for."""

    PREDICT = "predict"
    FEEDBACK = "feedback"


class Format(StrEnum):
    """Formats of the input."""

    JSONL = "jsonl"
    CSV = "csv"
    PARQUET = "parquet"


class AskedPayload(StrEnum):
    """What becomes of a row."""

    NDARRAY = "ndarray"
    TENSOR = "tensor"
    JSON = "jsonData"
    TEXT = "strData"
    MESSAGE = "message"


def batch(
    input_file: Annotated[
        Path,
        typer.Option(
            "--input", "-i", metavar="FILE", help="Rows: .jsonl, .csv (both also .gz) or .parquet."
        ),
    ],
    output_file: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="Answers as JSON Lines.")
    ],
    deployment: Annotated[
        str | None,
        typer.Option(
            "--deployment", "-d", help="The SeldonDeployment.", autocompletion=complete_names
        ),
    ] = None,
    predictor: Annotated[
        str | None,
        typer.Option("--predictor", help="Go to this predictor's own Service, past the gateway."),
    ] = None,
    revision: Annotated[
        str | None,
        typer.Option("--revision", help="The same, by revision: stable, candidate or a hash."),
    ] = None,
    url: Annotated[
        str | None, typer.Option("--url", help="Go there instead; with a path, exactly there.")
    ] = None,
    gateway: Annotated[
        str,
        typer.Option("--gateway", envvar="SLUICE_GATEWAY", help="Base URL of the ingress gateway."),
    ] = DEFAULT_GATEWAY,
    host: Annotated[
        str | None, typer.Option("--host", help="Host header, where the gateway asks for one.")
    ] = None,
    method: Annotated[
        Method, typer.Option("--method", "-m", help="predict or feedback.")
    ] = Method.PREDICT,
    payload: Annotated[
        AskedPayload | None,
        typer.Option(
            "--payload",
            help="ndarray, tensor, jsonData, strData or message (rows are whole requests). "
            "Default: message if the first row is one, else ndarray.",
        ),
    ] = None,
    form: Annotated[
        payloads.Form,
        typer.Option("--form", help="A line of the output: the whole answer, or the prediction."),
    ] = payloads.Form.ANSWER,
    input_format: Annotated[
        Format | None,
        typer.Option("--format", help="jsonl, csv or parquet. Default: by the input's name."),
    ] = None,
    columns: Annotated[
        str | None,
        typer.Option("--columns", help="Columns to send, in this order: a,b,c. Default: all."),
    ] = None,
    id_column: Annotated[
        str | None,
        typer.Option("--id-column", help="Not sent, but written beside the answer."),
    ] = None,
    types: Annotated[
        list[str] | None,
        typer.Option(
            "--type", metavar="COLUMN=TYPE", help="CSV: number, text or bool; may be repeated."
        ),
    ] = None,
    delimiter: Annotated[
        str | None, typer.Option("--delimiter", help="CSV: default a comma, for .tsv a tab.")
    ] = None,
    no_header: Annotated[
        bool, typer.Option("--no-header", help="CSV: the columns are c0, c1, ...")
    ] = False,
    rows: Annotated[
        int, typer.Option("--rows", "-s", min=1, help="Rows in one request (ndarray, tensor).")
    ] = 1,
    parallel: Annotated[
        int, typer.Option("--parallel", "-w", min=1, max=1000, help="Requests at once.")
    ] = 4,
    rate: Annotated[
        float | None, typer.Option("--rate", min=0.001, help="At most so many requests a second.")
    ] = None,
    attempts: Annotated[
        int, typer.Option("--attempts", min=1, help="Requests for a row before it is a failed one.")
    ] = 3,
    timeout: Annotated[
        float,
        typer.Option(
            "--timeout", parser=duration, metavar="DURATION", help="For one answer, e.g. 30s."
        ),
    ] = 60.0,
    outage_timeout: Annotated[
        float,
        typer.Option(
            "--outage-timeout",
            parser=duration,
            metavar="DURATION",
            help="Stop when nothing answers for so long; 0: never wait, rows fail.",
        ),
    ] = 300.0,
    max_failed: Annotated[
        int | None, typer.Option("--max-failed", min=0, help="Stop when more rows have failed.")
    ] = None,
    wait_for_rollout: Annotated[
        bool,
        typer.Option("--wait-for-rollout", help="Send nothing while a rollout is in progress."),
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Begin anew, whatever there is of the output.")
    ] = False,
    checkpoint: Annotated[
        float,
        typer.Option(
            "--checkpoint",
            parser=duration,
            metavar="DURATION",
            help="How often what is done is made safe on the disk.",
        ),
    ] = 1.0,
    batch_id: Annotated[
        str | None, typer.Option("--batch-id", "-u", help="Marks all requests. Default: made up.")
    ] = None,
    token_file: Annotated[
        Path | None,
        typer.Option("--token-file", help="File with a bearer token; or $SLUICE_BATCH_TOKEN."),
    ] = None,
    ca_file: Annotated[
        Path | None, typer.Option("--ca-file", help="CA certificate (PEM) of the target.")
    ] = None,
    insecure: Annotated[
        bool,
        typer.Option("--insecure-skip-tls-verify", help="Take any certificate of the target."),
    ] = False,
    headers: Annotated[
        list[str] | None,
        typer.Option("--header", metavar="NAME=VALUE", help="Extra header; repeatable."),
    ] = None,
    summary: Annotated[
        Output, typer.Option("--summary", help="At the end: table, json or yaml.")
    ] = Output.TABLE,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="No progress, only warnings and the summary.")
    ] = False,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Send every row of a file to a model, and write the answers.

    The same command goes on where an earlier run was stopped or killed. Exit 0: every row was
    answered, 1: some failed (see OUTPUT.failed.jsonl) or it stopped early.
    """
    place = Place(deployment, predictor, revision, url, gateway, namespace, context, kubeconfig)
    target = place.target(method.value)
    access = Access(
        headers=_headers(headers or [], host),
        token=os.environ.get("SLUICE_BATCH_TOKEN"),
        token_file=token_file,
        ca_file=ca_file,
        verify=not insecure,
    )
    wire = Wire(target.url, access=access, connections=parallel, seconds=timeout)
    kind = input_format.value if input_format else None
    given = reading.format_of(
        input_file, named=kind, header=not no_header, delimiter=delimiter, types=_types(types or [])
    )
    source = reading.open_source(input_file, given)
    shape = payloads.shape_for(
        next((row for row in source.rows() if not row.bad), None),
        payload=payloads.Payload(payload.value) if payload else None,
        feedback=method is Method.FEEDBACK,
        columns=[name.strip() for name in columns.split(",")] if columns else (),
        id_column=id_column,
        form=form,
    )
    clock = SystemClock()
    work = _work(input_file, given, target, shape)
    fresh = Progress(work, batch_id or str(uuid.uuid4()), started=clock.now())
    files = writing.begin(output_file, fresh, overwrite=overwrite)
    job = Job(input_file, output_file, target, files)
    limits = Limits(parallel, rows if shape.joins else 1, checkpoint, max_failed)
    if rows > 1 and not shape.joins:
        sys.stderr.write(f"warning: --rows does nothing for {shape.payload.value}: one row each\n")
    shape = replace(shape, batch_id=files.progress.batch_id)
    stop, weather = threading.Event(), Weather(clock, outage_timeout)
    sender = Sender(wire, shape, Pace(clock, rate, stop), weather, attempts)
    with Meter(clock, quiet=quiet) as meter:
        if files.progress.done:
            meter.say(f"{output_file} is complete already; --overwrite begins anew")
            job.end("", summary)
            return
        if files.progress.rows:
            meter.say(f"going on after {files.progress.rows:,} rows")
        watch = place.watch(target, clock, meter, must=wait_for_rollout)
        warned = False

        def hold() -> str:
            return f"a rollout ({watch.active})" if wait_for_rollout and watch.active else ""

        def tell() -> None:
            nonlocal warned
            if watch.active and not wait_for_rollout and not warned:
                warned = True
                meter.say(_ROLLOUT_WARNING.format(watch.active))
            progress = files.progress
            meter.tell(progress.rows, progress.failed, source.done, hold() or weather.trouble)

        run = Run(source.rows(), sender, files, limits, clock, stop=stop, hold=hold, tell=tell)
        message = ""
        with signals(run) as caught:
            try:
                run.run()
            except SluiceError as error:
                message = str(error)
            finally:
                watch.stop()
                wire.close()
    job.end(message, summary, signalled=caught[0] if caught else None)


_ROLLOUT_WARNING = (
    "warning: a rollout is in progress ({}): both revisions answer, and these requests count in "
    "its evidence. --wait-for-rollout waits for its end, --revision stable goes past it"
)


def _work(
    input_file: Path, given: reading.Format, target: Target, shape: payloads.Shape
) -> dict[str, Any]:
    """What must be the same for a run to go on where another one ended."""
    return {
        "input": reading.fingerprint(input_file),
        "format": given.kind,
        "header": given.header,
        "delimiter": given.delimiter,
        "types": given.types,
        "target": target.name,
        "payload": shape.payload.value,
        "columns": list(shape.columns),
        "idColumn": shape.id_column,
        "form": shape.form.value,
    }


def _types(given: list[str]) -> dict[str, str]:
    found = {}
    for text in given:
        column, separator, kind = text.rpartition("=")
        if not separator or kind not in TYPES:
            raise UsageError(f"--type {text}: expected COLUMN=TYPE with {', '.join(TYPES)}")
        found[column] = kind
    return found


def _headers(given: list[str], host: str | None) -> dict[str, str]:
    found = {"Host": host} if host else {}
    for text in given:
        name, separator, value = text.partition("=")
        if not separator or not name:
            # Without its value: it may be secret.
            raise UsageError("--header: expected NAME=VALUE")
        found[name] = value
    return found
