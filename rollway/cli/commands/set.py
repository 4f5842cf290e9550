"""`rollway set image`: run another image."""

from __future__ import annotations

import click

from rollway.cli.group import Command
from rollway.cli.options import output_option
from rollway.cli.parameters import options
from rollway.cli.releasing import ReleaseOptions, run
from rollway.releases.acting import image_setter


@click.command(
    "set",
    cls=Command,
    examples="""
    rollway set image shop app=registry.example.com/shop:1.4
    rollway set image shop '*=registry.example.com/shop:1.4'   # in all containers
    rollway set image shop app=shop:1.4 --dir k8s/             # in a folder of manifests
    """,
)
@click.argument("field", metavar="image", type=click.Choice(["image"]))
@options(release=ReleaseOptions)
@click.argument("images", metavar="CONTAINER=IMAGE...", nargs=-1, required=True)
@output_option()
def set_(release: ReleaseOptions, *, field: str, images: tuple[str, ...], output: str) -> None:
    """Set the image of containers of a Rollout, or of the workload that it refers to, which begins an update."""
    wanted: dict[str, str] = {}
    for word in images:
        container, equals, image = word.partition("=")
        if not (container and equals and image):
            raise click.UsageError(f"{word!r} is not of the form CONTAINER=IMAGE")
        if wanted.setdefault(container, image) != image:
            raise click.UsageError(f"two images are given for the container {container}")
    run((release.name,), release.writing, output, f"set {field}", image_setter(wanted))
