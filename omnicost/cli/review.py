"""`omnicost review`: which pseudo-masks annotators should correct first."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from omnicost.cli.shared import options
from omnicost.cli.shared.inputs import read_times
from omnicost.cli.shared.output import print_json, progress_bar
from omnicost.files import refuse_to_replace


def review(
    model: Annotated[Path, typer.Argument(help="Folder that omnicost train wrote.")],
    hours: Annotated[float, typer.Option(min=0, help="Of annotators, to fill.")],
    out: Annotated[Path, typer.Option(help="Folder of tasks to make.")] = Path("review"),
    times: options.Times = None,
    time: options.Time = None,
    image_prefix: options.ImagePrefix = "",
    device: Annotated[str, typer.Option(help="Such as cpu or cuda:0.")] = "cpu",
    force: options.Force = False,
    as_json: options.Json = False,
) -> None:
    """Order the images by what correcting their pseudo-masks is expected to bring a second.

    Doubtful are masks that the teacher or the detector rates low (where enough images
    have masks, by what such ratings turned out to be worth), masks that the student does
    not agree with, labels without any mask, and instances that only the student sees.
    The tasks open in Label Studio with the pseudo-masks drawn in; review.csv orders the
    images, instances.csv what is in them, and both say why.

    \b
    Example:
      omnicost review model/ --hours 40 --out tasks/
      omnicost review model/ --hours 8 --times times.yaml --out tasks/
    """
    from omnicost.project.review import HEADS, plan_review, write_review

    refuse_to_replace(out, force=False)
    for name, head in HEADS.items():
        refuse_to_replace(out / name, inputs=(times,), force=force, head=head)
    seconds = read_times(times, time)
    with progress_bar("asking the student") as progress:
        planned = plan_review(model, hours, seconds, device, progress)
    written = write_review(out, planned, image_prefix)
    spent = sum(doubt.seconds for doubt in planned.doubts) / 3600
    if as_json:
        images = len(planned.doubts)
        files = [str(path) for path in written]
        print_json({"images": images, "hours": spent, "left": planned.left, "files": files})
        return
    typer.echo(
        f"{len(planned.doubts)} images in {spent:.1f} h, {planned.left} left for later: {out}"
    )
