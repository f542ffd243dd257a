def register(commands) -> None:
    commands.add_parser("view")
