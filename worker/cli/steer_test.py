"""`neuronym-worker steer-test`: test whether clamps steer a model to a concept; write a report and a chart."""

from pathlib import Path

import click
import torch

from neuronym.settings import Settings
from worker.errors import CheckpointError, RequestError
from worker.machine.device import choose_device
from worker.steer_test.chart import chart
from worker.steer_test.report import SettingResult, TrialReport
from worker.steering.engine import Positions


@click.command("steer-test")
@click.argument("concept")
@click.option("--kind", required=True, help="What the concept is one of: animal, place, colour.")
@click.option("--words", help="Words that count as naming it, with commas between (default: CONCEPT and its plural).")
@click.option("--absent", is_flag=True, help="The aim is that the concept is not named.")
@click.option("--prompts", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Other prompts, as JSON.")
@click.option("--model", default="demo", show_default=True, help="A MODEL as for `map`.")
@click.option("--length", default=32, show_default=True, type=click.IntRange(4, 512), help="Most tokens of an answer.")
@click.option("--together", default="1,16", show_default=True, help="How many neurons to move together.")
@click.option("--budgets", default="0.02,0.08", show_default=True, help="Damage to share by merit, nats of KL.")
@click.option("--strengths", default="1,1.5,2", show_default=True, help="Even moves, as multiples of those measured.")
@click.option("--positions", default="generated,all", show_default=True, help="Positions to try.")
@click.option("--finalists", default=6, show_default=True, type=click.IntRange(1, 50), help="Settings judged held out.")
@click.option("--fitted", default=64, show_default=True, type=click.IntRange(0, 64), help="Neurons fitted together.")
@click.option("--report", type=click.Path(path_type=Path), help="Write the report as JSON here.")
@click.option("--svg", type=click.Path(path_type=Path), help="Draw the chart here.")
def steer_test(
    concept: str,
    kind: str,
    words: str | None,
    absent: bool,
    prompts: Path | None,
    model: str,
    length: int,
    together: str,
    budgets: str,
    strengths: str,
    positions: str,
    finalists: int,
    fitted: int,
    report: Path | None,
    svg: Path | None,
) -> None:
    """How often MODEL names CONCEPT when asked for a favourite of its KIND, plain and with neurons moved.

    Neurons and settings are chosen on some prompts and judged on 24 others, by how many answers name the concept and
    how many can still be read.
    """
    from worker.checkpoints.checkpoint import open_checkpoint
    from worker.steer_test.prompts import FILE, read_prompts
    from worker.steer_test.trial import Concept, SteerTrial, TrialEffort
    from worker.steering.models import load

    settings = Settings()
    try:
        effort = TrialEffort(
            length=length,
            together=tuple(int(part) for part in together.split(",")),
            budgets=tuple(float(part) for part in budgets.split(",")),
            strengths=tuple(float(part) for part in strengths.split(",")),
            positions=_positions(positions),
            finalists=finalists,
            fitted=fitted,
        )
        if settings.threads:
            torch.set_num_threads(settings.threads)
        live = load(model, open_checkpoint(model), choose_device(settings.device))
        target = Concept(tuple(words.split(",")) if words else (concept, f"{concept}s"), kind, absent)
        test_prompts = read_prompts(kind, prompts or FILE)
        trial_report = SteerTrial(live, target, test_prompts, effort, lambda line: click.echo(line, err=True)).run()
    except (CheckpointError, RequestError, ValueError) as error:
        raise click.ClickException(str(error)) from error
    if report:
        report.write_text(trial_report.model_dump_json(indent=1) + "\n")
    if svg:
        svg.write_text(chart(trial_report))
    click.echo("\n".join(_lines(trial_report)))


def _positions(text: str) -> tuple[Positions, ...]:
    known: dict[str, Positions] = {"all": "all", "prompt": "prompt", "generated": "generated"}
    wanted = [part.strip() for part in text.split(",")]
    if not set(wanted) <= set(known):
        raise click.BadParameter(f"choose from {', '.join(known)}", param_hint="--positions")
    return tuple(known[part] for part in wanted)


def _lines(report: TrialReport) -> list[str]:
    words = ", ".join(report.words)
    first = (
        f"{report.prompts} held-out prompts, answers that name {words}: {report.best.baseline_named:.0%} without clamps"
    )
    return [first, *map(_line, report.held_out)]


def _line(setting: SettingResult) -> str:
    return (
        f"{setting.named:5.0%} named  {setting.readable:5.0%} readable  {setting.both:5.0%} both  "
        f"{setting.nats_below:+.2f} nats  {setting.repeated:4.0%} repeated  {setting.name}, {setting.positions}"
    )
