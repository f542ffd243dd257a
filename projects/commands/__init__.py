"""The sub-commands of ``pcrq``: one module each, with ``register(subparsers)``; heavy imports happen inside."""
