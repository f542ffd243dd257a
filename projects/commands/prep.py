"""``pcrq prep``: make a store from meshes, sound files, built-in shapes or sounds, or a public data set."""

from projects.commands import (
    prep_audio,
    prep_meshes,
    prep_modelnet40,
    prep_shapenet,
    prep_shapenet_part,
    prep_shapes,
    prep_sounds,
)


def register(commands) -> None:
    parser = commands.add_parser("prep", help="make a store of shapes or sounds from files, built-in or public data")
    sources = parser.add_subparsers(title="sources", metavar="SOURCE", required=True)
    shapes = (prep_meshes, prep_shapes, prep_shapenet, prep_modelnet40, prep_shapenet_part)
    for source in (*shapes, prep_audio, prep_sounds):
        source.register(sources)
