"""``pcrq prep``: make a shape store from meshes, built-in shapes or a public data set."""

from projects.commands import prep_meshes, prep_modelnet40, prep_shapenet, prep_shapenet_part, prep_shapes


def register(commands) -> None:
    parser = commands.add_parser("prep", help="make a shape store from meshes, built-in shapes or a public data set")
    sources = parser.add_subparsers(title="sources", metavar="SOURCE", required=True)
    for source in (prep_meshes, prep_shapes, prep_shapenet, prep_modelnet40, prep_shapenet_part):
        source.register(sources)
