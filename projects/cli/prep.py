"""``pcrq prep``: make a store from meshes, sound files, built-in shapes or sounds, or a public data set."""

from projects.cli import (
    prep_audio,
    prep_meshes,
    prep_modelnet40,
    prep_nsynth,
    prep_shapenet,
    prep_shapenet_part,
    prep_shapes,
    prep_sounds,
    prep_speech_commands,
    prep_urbansound8k,
    prep_voxceleb1,
    prep_voxforge,
)


def register(commands) -> None:
    parser = commands.add_parser("prep", help="make a store of shapes or sounds from files, built-in or public data")
    sources = parser.add_subparsers(title="sources", metavar="SOURCE", required=True)
    shapes = (prep_meshes, prep_shapes, prep_shapenet, prep_modelnet40, prep_shapenet_part)
    sounds = (prep_audio, prep_sounds, prep_nsynth, prep_urbansound8k, prep_voxceleb1, prep_voxforge)
    for source in (*shapes, *sounds, prep_speech_commands):
        source.register(sources)
