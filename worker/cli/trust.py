"""`neuronym-worker trust`: write the report on labels of measured models, as Markdown with a chart."""

from pathlib import Path

import click
import torch
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from neuronym.contract import Lens, Site, Strength, View
from neuronym.settings import Settings
from worker.errors import CheckpointError, LabelFileError
from worker.trust.chart import chart
from worker.trust.own_gain import CERTAIN, gain_trials
from worker.trust.recipes import PLAIN
from worker.trust.report import THIRDS, TRIED, TrustReport

CHART = "trust.svg"


@click.command()
@click.argument("models", nargs=-1, metavar="[MODEL ...]")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), default=Path(), help="Folder to write into.")
@click.option("--json", "figures", type=click.Path(path_type=Path), help="Write every figure as JSON here, too.")
@click.option("--sample", default=128, show_default=True, type=click.IntRange(2), help="Neurons a layer for recipes.")
@click.option("--data", type=click.Path(path_type=Path), help="Folder of the library [NEURONYM_DATA, ./data].")
def trust(models: tuple[str, ...], out: Path, figures: Path | None, sample: int, data: Path | None) -> None:
    """Report how often labels hold, as trust.md and trust.svg.

    MODEL is the name of a mapped model whose effect is measured (default: all that are). On the first one other recipes
    for labels are tried too, on a sample of its neurons.
    """
    from worker.library.published import published_models
    from worker.trust.holding import judge_labels
    from worker.trust.study import try_recipes

    settings = Settings(data=data) if data else Settings()
    if settings.threads:
        torch.set_num_threads(settings.threads)
    try:
        names = models or [model.name for model in published_models(settings.data) if "effect" in model.measured]
        if not names:
            raise CheckpointError(f"No model in {settings.data} is measured. Run `effect` first.")
        report = TrustReport(
            models=[judge_labels(settings.data, name) for name in names],
            recipes=try_recipes(settings, names[0], sample, _print_progress),
            recipes_of=names[0],
            sample=sample,
        )
    except (CheckpointError, LabelFileError) as error:
        raise click.ClickException(str(error)) from error
    out.mkdir(parents=True, exist_ok=True)
    if figures:
        figures.write_text(report.model_dump_json(indent=1) + "\n")
    (out / CHART).write_text(chart(report.models[0]))
    (out / "trust.md").write_text(render(report))
    click.echo(f"Wrote trust.md and {CHART} into {out.resolve()}")


def _print_progress(done: int, layers: int) -> None:
    click.echo(f"\rrecipes: layer {done} of {layers}", err=True, nl=done == layers)


def render(report: TrustReport) -> str:
    """Render the report as Markdown."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parents[1] / "trust"),
        undefined=StrictUndefined,
        trim_blocks=True,
        autoescape=False,  # Markdown, not HTML
    )
    environment.filters |= {"share": "{:.1%}".format, "nats": "{:+.3f}".format, "count": "{:,}".format}
    words = {"View": View, "Lens": Lens, "Site": Site, "Strength": Strength, "CHART": CHART}
    tried = {"THIRDS": THIRDS, "TRIED": TRIED, "PLAIN": PLAIN, "CERTAIN": CERTAIN}
    template = environment.get_template("trust.md.jinja")
    return template.render(report=report, gain_trials=list(gain_trials(report)), **words, **tried).rstrip() + "\n"
